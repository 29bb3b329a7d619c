// Keeps encoded representations by the hash of their body and their coding, or by their version, within a bound of
// bytes, and lets concurrent replies with the same body share one compression. It prevents paying for the same bytes
// again and again.
//
//   1st use ─▶ seen (the key alone)      a body that never comes back takes no room from those that do
//   2nd use ─▶ kept ─▶ oldest goes first when room is needed, unless it was used since: then it counts as new
//
// That is CLOCK: it keeps what LRU keeps, and a hit only sets a mark where LRU would move the entry.

export interface CacheOptions {
  /** Bytes that all entries take together. An integer ≥ 0. @default 33554432 */
  maxBytes: number
  /** Bytes that one entry may take; a larger one is not kept. An integer ≥ 0. @default 2097152 */
  maxEntryBytes: number
}

export interface Kept {
  readonly bytes: Buffer
  /** Bytes that the entry takes beside them. @default 0 */
  readonly extra?: number
  /** Bytes of the body before it was encoded; absent where it was not. */
  readonly plainBytes?: number | undefined
}

interface Entry { readonly kept: Kept, readonly size: number, used: boolean }

export type Encoded = (error: Error | null, bytes: Buffer | undefined) => void

/** The Map's slot, the key and the Buffer object around the bytes. */
export const ENTRY_OVERHEAD_BYTES = 256
/** Two generations of keys that were used once. */
const SEEN_KEYS = 2048

export class RepresentationCache {
  readonly #options: CacheOptions
  /** Map keeps the order of insertion: the first key is where the hand of the clock stands. */
  readonly #entries = new Map<string, Entry>()
  readonly #pending = new Map<string, Encoded[]>()
  #seen = new Set<string>()
  #seenBefore = new Set<string>()
  #bytes = 0
  #hits = 0
  #misses = 0

  constructor (options: CacheOptions) {
    this.#options = options
  }

  get stats () {
    return { entries: this.#entries.size, bytes: this.#bytes, hits: this.#hits, misses: this.#misses, pending: this.#pending.size }
  }

  get (key: string): Buffer | undefined {
    return this.find(key)?.bytes
  }

  /** Under the one key or the other. */
  find (key: string, other?: string): Kept | undefined {
    let entry = this.#entries.get(key)
    if (entry === undefined && other !== undefined) entry = this.#entries.get(other)
    if (entry === undefined) {
      this.#misses++
      return undefined
    }
    this.#hits++
    entry.used = true
    return entry.kept
  }

  /** Joins a compression of the same key that is under way; false when there is none. */
  join (key: string, done: Encoded): boolean {
    const waiting = this.#pending.get(key)
    if (waiting === undefined) return false
    waiting.push(done)
    return true
  }

  /** Starts a compression that others may join; `start` is handed the callback that ends it for all. */
  share (key: string, done: Encoded, start: (settle: Encoded) => void): void {
    const waiting = [done]
    this.#pending.set(key, waiting)
    start((error, bytes) => {
      this.#pending.delete(key)
      if (bytes !== undefined) {
        // Whoever joined is a second use.
        if (waiting.length > 1) this.admits(key)
        this.offer(key, bytes)
      }
      for (const each of waiting) each(error, bytes)
    })
  }

  /** Keeps the bytes when the key was used before, and remembers the key otherwise. */
  offer (key: string, bytes: Buffer): void {
    if (this.admits(key)) this.keep(key, { bytes })
  }

  keep (key: string, kept: Kept): void {
    const { maxBytes, maxEntryBytes } = this.#options
    const size = kept.bytes.length + (kept.extra ?? 0) + ENTRY_OVERHEAD_BYTES
    if (kept.bytes.length > maxEntryBytes || size > maxBytes) return
    const replaced = this.#entries.get(key)
    if (replaced !== undefined) this.#drop(key, replaced)
    this.#makeRoom(maxBytes - size)
    this.#entries.set(key, { kept: { ...kept, bytes: ownCopy(kept.bytes) }, size, used: false })
    this.#bytes += size
  }

  /** True when the key was used before; else it is remembered, and this was its first use. */
  admits (key: string): boolean {
    if (this.wasUsed(key)) return true
    if (this.#seen.size >= SEEN_KEYS) {
      this.#seenBefore = this.#seen
      this.#seen = new Set()
    }
    this.#seen.add(key)
    return false
  }

  wasUsed (key: string): boolean {
    return this.#seen.has(key) || this.#seenBefore.has(key)
  }

  /** An entry that was used is visited again behind all others, and then goes if it has to. */
  #makeRoom (bytes: number): void {
    for (const [key, entry] of this.#entries) {
      if (this.#bytes <= bytes) return
      this.#drop(key, entry)
      if (!entry.used) continue
      entry.used = false
      this.#entries.set(key, entry)
      this.#bytes += entry.size
    }
  }

  #drop (key: string, { size }: Entry): void {
    this.#entries.delete(key)
    this.#bytes -= size
  }
}

/** zlib hands out slices of 16 KiB chunks: kept as they are, 500 bytes would hold all of it. */
function ownCopy (bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength === bytes.length) return bytes
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}
