// Keeps encoded representations by the hash of their body and their coding, within a bound of bytes, and lets
// concurrent replies with the same body share one compression. It prevents paying for the same bytes again and again.
//
//   1st use ─▶ seen (the key alone)      a body that never comes back takes no room from those that do
//   2nd use ─▶ kept ─▶ least recently used goes first when the bound is reached

export interface CacheOptions {
  /** Bytes that all entries take together. An integer ≥ 0. @default 33554432 */
  maxBytes: number
  /** Bytes that one entry may take; a larger one is not kept. An integer ≥ 0. @default 2097152 */
  maxEntryBytes: number
}

export type Encoded = (error: Error | null, bytes: Buffer | undefined) => void

/** The Map's slot, the key and the Buffer object around the bytes. */
export const ENTRY_OVERHEAD_BYTES = 256
/** Two generations of keys that were used once. */
const SEEN_KEYS = 2048

export class RepresentationCache {
  readonly #options: CacheOptions
  /** Map keeps the order of insertion, and a hit is inserted anew: the first key is the least recently used. */
  readonly #entries = new Map<string, Buffer>()
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
    const bytes = this.#entries.get(key)
    if (bytes === undefined) {
      this.#misses++
      return undefined
    }
    this.#hits++
    this.#entries.delete(key)
    this.#entries.set(key, bytes)
    return bytes
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
        if (waiting.length > 1) this.#see(key)
        this.offer(key, bytes)
      }
      for (const each of waiting) each(error, bytes)
    })
  }

  /** Keeps the bytes when the key was used before, and remembers the key otherwise. */
  offer (key: string, bytes: Buffer): void {
    if (!this.#see(key)) return
    const size = sizeOf(bytes)
    if (bytes.length > this.#options.maxEntryBytes || size > this.#options.maxBytes) return
    const replaced = this.#entries.get(key)
    if (replaced !== undefined) this.#drop(key, replaced)
    this.#entries.set(key, ownCopy(bytes))
    this.#bytes += size
    for (const [oldest, held] of this.#entries) {
      if (this.#bytes <= this.#options.maxBytes) return
      this.#drop(oldest, held)
    }
  }

  /** True when the key was seen before. */
  #see (key: string): boolean {
    if (this.#seen.has(key) || this.#seenBefore.has(key)) return true
    if (this.#seen.size >= SEEN_KEYS) {
      this.#seenBefore = this.#seen
      this.#seen = new Set()
    }
    this.#seen.add(key)
    return false
  }

  #drop (key: string, bytes: Buffer): void {
    this.#entries.delete(key)
    this.#bytes -= sizeOf(bytes)
  }
}

function sizeOf (bytes: Buffer): number {
  return bytes.length + ENTRY_OVERHEAD_BYTES
}

/** zlib hands out slices of 16 KiB chunks: kept as they are, 500 bytes would hold all of it. */
function ownCopy (bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength === bytes.length) return bytes
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}
