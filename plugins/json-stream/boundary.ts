// Guesses where elements end, so that most bytes need no scan: in an array of records each boundary looks like the one before, as
// `},{"id":` does. A guess is proved by JSON.parse (what parses between a known boundary and a comma is whole elements), so a wrong
// one costs time only, and a body that causes several gets no more.

const CLOSING_BRACE = 0x7d
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const OPENING_BRACKET = 0x5b
const COLON = 0x3a

/** A boundary's text at most: a brace, a comma, space and a first key. */
const LONGEST = 64
/** Wrong guesses in a body before it gets no more. */
const MISSES = 3

export class Boundary {
  /** From the last byte of an element to the first key of the next; the comma is its second byte. */
  #text: Buffer | undefined
  #misses = 0

  get known (): boolean {
    return this.#text !== undefined
  }

  /** Learns from the element boundary whose comma is at `comma`. */
  learn (bytes: Buffer, comma: number, to: number): void {
    if (this.#misses >= MISSES || comma < 1) return
    const closing = bytes[comma - 1]
    const limit = Math.min(to, comma + LONGEST)
    let at = comma + 1
    while (at < limit && bytes[at]! <= 0x20) at++
    if (closing === CLOSING_BRACE && bytes[at] === OPENING_BRACE) {
      while (at < limit && bytes[at] !== COLON) at++
    } else if (closing !== CLOSING_BRACKET || bytes[at] !== OPENING_BRACKET) return
    if (at < limit) this.#text = Buffer.from(bytes.subarray(comma - 1, at + 1))
  }

  /** The comma of the last place that looks like a boundary, or -1. */
  find (bytes: Buffer, to: number): number {
    if (this.#text === undefined) return -1
    const at = bytes.subarray(0, to).lastIndexOf(this.#text)
    return at === -1 ? -1 : at + 1
  }

  missed (): void {
    this.#text = undefined
    this.#misses++
  }
}
