// One growable buffer for the bytes of the element that is still coming in. A list of chunks would cost a Buffer object
// for each 1-byte chunk, and a retained subarray would pin the whole slab that it was read into.

const INITIAL_BYTES = 16 * 1024
/** What an idle buffer may keep: after a very long element its memory goes back. */
const KEPT_BYTES = 256 * 1024

export class ByteBuffer {
  bytes: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES)
  length = 0

  append (chunk: Buffer, from = 0, to = chunk.length): void {
    const needed = this.length + to - from
    if (needed > this.bytes.length) this.#resize(Math.max(needed, this.bytes.length * 2))
    chunk.copy(this.bytes, this.length, from, to)
    this.length = needed
  }

  /** Forgets the first `count` bytes. */
  drop (count: number): void {
    this.bytes.copyWithin(0, count, this.length)
    this.length -= count
    if (this.bytes.length > KEPT_BYTES && this.length < INITIAL_BYTES) this.#resize(INITIAL_BYTES)
  }

  #resize (size: number): void {
    const larger = Buffer.allocUnsafeSlow(size)
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }
}
