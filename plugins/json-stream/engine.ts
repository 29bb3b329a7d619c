// What every way of reading elements out of a body has in common: bytes in, elements out, one failure that ends it.
import type { ElementRules } from './batch.ts'
import type { JsonStreamError } from './failure.ts'

export interface EngineRules extends ElementRules {
  /** Bytes around the streamed array, space not counted. */
  maxEnvelopeBytes: number
}

export interface Engine {
  /** Takes the next bytes of the body and returns the elements that they complete. Not to be called after a failure. */
  push (chunk: Buffer): unknown[]
  /** The body has ended. */
  end (): unknown[]
  /** Set by push and end. The elements that they return come before it. */
  readonly failure: JsonStreamError | undefined
  /** Elements returned so far. */
  readonly index: number
}

const BOM = [0xef, 0xbb, 0xbf]

/**
 * A byte order mark may open a body, whole or not at all (RFC 8259 section 8.1 lets a parser ignore it).
 * Counts the bytes of one that have come in.
 */
export class ByteOrderMark {
  #seen = 0
  #over = false

  /** The body has ended. */
  end (): void {
    this.#over = true
  }

  /** How many bytes at the start of `chunk` belong to the mark; `broken` says that it is not whole. */
  skip (chunk: Buffer): number {
    if (this.#over) return 0
    let at = 0
    while (at < chunk.length && this.#seen < BOM.length && chunk[at] === BOM[this.#seen]) {
      this.#seen++
      at++
    }
    if (at < chunk.length || this.#seen === BOM.length) this.#over = true
    return at
  }

  get broken (): boolean {
    return this.#seen > 0 && this.#seen < BOM.length && this.#over
  }
}
