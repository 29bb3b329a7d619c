// HalfSipHash-2-4 of a string, 64 bits (Aumasson and Bernstein, SipHash). Who does not know the key cannot find client
// keys that fall on one slot of the table, and so cannot push a chosen client's debt out of it.

export class KeyedHash {
  readonly #key0: number
  readonly #key1: number
  /** The two halves of the last digest, as signed 32-bit integers. */
  low = 0
  high = 0

  constructor (key: Uint32Array) {
    this.#key0 = key[0]! | 0
    this.#key1 = key[1]! | 0
  }

  /** Into `low` and `high`, so that a digest allocates nothing. A word is two UTF-16 units. */
  digest (text: string): void {
    let v0 = this.#key0
    let v1 = this.#key1 ^ 0xee
    let v2 = this.#key0 ^ 0x6c796765
    let v3 = this.#key1 ^ 0x74656462
    const { length } = text
    const words = length >> 1
    // The words, then the padding with the length, then eight empty rounds: four a half of the output.
    for (let i = 0; i <= words + 4; i++) {
      let word = 0
      if (i < words) word = text.charCodeAt(2 * i) | text.charCodeAt(2 * i + 1) << 16
      else if (i === words) word = (length << 25) | (length & 1 ? text.charCodeAt(length - 1) : 0)
      else if (i === words + 1) v2 ^= 0xee
      else if (i === words + 3) {
        this.low = v1 ^ v3
        v1 ^= 0xdd
      }
      v3 ^= word
      for (let round = 0; round < 2; round++) {
        v0 = (v0 + v1) | 0
        v1 = (v1 << 5 | v1 >>> 27) ^ v0
        v0 = v0 << 16 | v0 >>> 16
        v2 = (v2 + v3) | 0
        v3 = (v3 << 8 | v3 >>> 24) ^ v2
        v0 = (v0 + v3) | 0
        v3 = (v3 << 7 | v3 >>> 25) ^ v0
        v2 = (v2 + v1) | 0
        v1 = (v1 << 13 | v1 >>> 19) ^ v2
        v2 = v2 << 16 | v2 >>> 16
      }
      v0 ^= word
    }
    this.high = v1 ^ v3
  }
}
