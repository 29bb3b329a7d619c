// What stays @fastify/rate-limit's: how an address becomes a key. Its `normalizeIP` takes microseconds for IPv6, so the
// addresses seen last are remembered.
import rateLimit from '@fastify/rate-limit'
import { withoutPort } from '../shared/address.ts'

/** Addresses that are remembered: this many at least, twice as many at most. */
const REMEMBERED = 1_000
/** The longest text that is one, brackets and a port included: behind a proxy it is whatever the proxy was told. */
const LONGEST_ADDRESS = 53

export class AddressKeys {
  #recent = new Map<string, string>()
  #older = new Map<string, string>()

  /** IPv6 by its prefix of `ipv6Subnet` bits, IPv4 that is mapped into IPv6 as IPv4; without the port that some proxies add. */
  of = (address: string, ipv6Subnet: number): string => {
    // IPv4 is its own key.
    if (!address.includes(':')) return address
    if (address.length > LONGEST_ADDRESS) return rateLimit.normalizeIP(withoutPort(address), ipv6Subnet)
    const name = `${ipv6Subnet} ${address}`
    let key = this.#recent.get(name)
    if (key !== undefined) return key
    key = this.#older.get(name) ?? rateLimit.normalizeIP(withoutPort(address), ipv6Subnet)
    if (this.#recent.size >= REMEMBERED) {
      this.#older = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(name, key)
    return key
  }
}
