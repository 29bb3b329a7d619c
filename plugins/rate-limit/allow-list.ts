// Who a list lets by: keys as they are, and addresses whatever the key, one by one or by prefix. It prevents an address from
// standing in the list in vain because the key is a user's, or a whole /64.
import { BlockList, isIP } from 'node:net'

/** The client's address as a key: IPv6 by its prefix, mapped IPv4 as IPv4. */
export type AddressKey = (address: string, ipv6Subnet: number) => string

type Listed<Request> = (request: Request, key: string) => boolean

function familyOf (address: string): 'ipv4' | 'ipv6' | undefined {
  return (['ipv4', 'ipv6'] as const)[[4, 6].indexOf(isIP(address))]
}

export function listed<Request extends { ip: string | undefined }> (list: readonly string[], addressKey: AddressKey): Listed<Request> {
  const keys = new Set(list)
  const addresses = new Set(list.filter(familyOf).map(address => addressKey(address, 128)))
  const prefixes = prefixesOf(list)
  const byAddress = addresses.size > 0 || prefixes !== undefined

  return function inAllowList (request, key) {
    if (keys.has(String(key))) return true
    if (!byAddress) return false
    const address = addressKey(request.ip ?? '', 128)
    return addresses.has(address) || (prefixes !== undefined && within(prefixes, address))
  }
}

/** '10.0.0.0/8' and '2001:db8::/32' (RFC 4632, RFC 4291); undefined where there are none. */
function prefixesOf (list: readonly string[]): BlockList | undefined {
  const prefixes = new BlockList()
  for (const item of list) {
    const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(item) ?? []
    const family = familyOf(address)
    if (family !== undefined && Number(bits) <= (family === 'ipv4' ? 32 : 128)) prefixes.addSubnet(address, Number(bits), family)
  }
  return prefixes.rules.length === 0 ? undefined : prefixes
}

function within (prefixes: BlockList, address: string): boolean {
  const family = familyOf(address)
  return family !== undefined && prefixes.check(address, family)
}
