// Counts the connections of each client address. It prevents one client from taking all that a server may have; an
// IPv6 client owns a whole /64, so that is what counts as its address.

/** An IPv4 address as it is, mapped ones too; the /64 of an IPv6 address. */
export function addressBlock (address: string): string {
  if (!address.includes(':')) return address
  const [text] = address.toLowerCase().split('%') as [string]
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  if (mapped !== null) return mapped[1]!
  const [head, tail] = text.split('::').map(half => half === '' ? [] : half.split(':')) as [string[], string[]?]
  const groups = tail === undefined ? head : [...head, ...new Array(Math.max(0, 8 - head.length - tail.length)).fill('0'), ...tail]
  return groups.slice(0, 4).map(group => parseInt(group, 16).toString(16)).join(':') + '::/64'
}

/** One for all connections of a block. */
export interface Share { readonly block: string, count: number }

export class AddressShares {
  readonly #limit: number
  readonly #shares = new Map<string, Share>()

  constructor (limit: number) {
    this.#limit = limit
  }

  /** Addresses that have a connection. */
  get size (): number {
    return this.#shares.size
  }

  /** What is to be given back at the end of the connection; undefined when the block has its share already. */
  take (block: string): Share | undefined {
    let share = this.#shares.get(block)
    if (share === undefined) this.#shares.set(block, share = { block, count: 0 })
    else if (share.count >= this.#limit) return undefined
    share.count++
    return share
  }

  give (share: Share): void {
    if (--share.count === 0) this.#shares.delete(share.block)
  }
}
