// Cuts the elements of one array out of bytes: the scan tells where they end, and one JSON.parse a chunk does the rest. No more is
// held than the element that is still coming in, and nothing is delivered before every limit was looked at.
import { explainEnd, isBlank, parseBatch, parseElement, type ElementRules } from './batch.ts'
import { ByteBuffer } from './byte-buffer.ts'
import { failure, type JsonStreamError } from './failure.ts'
import { scan, window } from './scan.ts'
import { CLOSED, GOES_ON, structure, TOO_DEEP, TOO_LARGE, type Structure } from './structure.ts'

const BRACKET = Buffer.from('[')

export class Splitter {
  /** Elements delivered. */
  index = 0
  failure: JsonStreamError | undefined
  /** The array's `]` was read. */
  closed = false
  /** How far into the chunk the array went. */
  consumed = 0
  readonly #rules: ElementRules
  /**
   * The elements not yet cut, behind the bracket or comma that they follow:
   *
   *     [ | element k | , | element k + 1 | , | element k + 2 …
   *     ^0                                ^ comma             ^ at
   */
  readonly #pending = new ByteBuffer()
  readonly #structure: Structure
  /** What may be among the pending bytes. */
  #seen = 0
  /** The body's byte at the buffer's first. */
  #offset: number

  /** @param offset the body's byte behind the array's `[` @param outerDepth containers that are open, the array included */
  constructor (rules: ElementRules, offset: number, outerDepth: number) {
    this.#rules = rules
    this.#offset = offset - 1
    this.#structure = structure(rules.maxDepth - outerDepth + 1, rules.maxElementBytes)
    this.#structure.at = this.#structure.start = 1
    this.#pending.append(BRACKET)
  }

  /** Takes `chunk[from, to)` and returns the elements that it completes. */
  push (chunk: Buffer, from: number, to: number): unknown[] {
    const pending = this.#pending
    const state = this.#structure
    const length = pending.length + to - from
    // Where they are scanned in place, bytes are copied once. Beside many that wait, few are not worth to move those there and back.
    const inPlace = pending.length <= to - from && length <= window.length
    if (inPlace) {
      pending.bytes.copy(window, 0, 0, pending.length)
      chunk.copy(window, pending.length, from, to)
    } else {
      pending.append(chunk, from, to)
    }
    const bytes = inPlace ? window : pending.bytes
    scan(state, bytes, length)
    this.#seen |= state.seen
    this.consumed = state.event === GOES_ON ? to : to - (length - state.at)
    const read = state.event === GOES_ON ? state.at : state.at - 1
    if (read - state.start > this.#rules.maxElementBytes) state.event = TOO_LARGE
    const ended = state.event === CLOSED && bytes[state.at - 1] === 0x5d
    const cut = Math.max(0, ended ? state.at - 1 : state.comma)
    const values = this.#parse(bytes, cut, ended)
    if (inPlace) {
      pending.length = 0
      pending.append(window, cut, length)
    } else if (cut > 0) {
      pending.drop(cut)
    }
    return values
  }

  /** Parses what the scan has found to be whole elements. */
  #parse (bytes: Buffer, cut: number, ended: boolean): unknown[] {
    const state = this.#structure
    let values: unknown[] = []
    if (cut > 0 && !(ended && this.index === 0 && isBlank(bytes, 1, cut))) {
      const batch = parseBatch(bytes, 1, cut, this.index, this.#offset, this.#rules, this.#seen)
      values = batch.values
      this.failure = batch.failure
      this.index += values.length
    }
    this.closed = ended && this.failure === undefined
    if (!this.closed && this.failure === undefined && state.event !== GOES_ON) this.#conclude(bytes)
    if (cut > 0) {
      this.#offset += cut
      state.at -= cut
      state.start = 1
      state.comma = -1
      // What is left came with this chunk.
      this.#seen = state.seen
    }
    return values
  }

  /** The body ended within the array. */
  end (): void {
    this.failure ??= explainEnd(this.#pending.bytes, 1, this.#pending.length, this.index, this.#offset)
  }

  #conclude (bytes: Buffer): void {
    const { maxElementBytes, maxDepth } = this.#rules
    const { event, start, at } = this.#structure
    if (event === TOO_LARGE) this.failure = failure.elementTooLarge(maxElementBytes, this.index, this.#offset + start + maxElementBytes)
    else if (event === TOO_DEEP) this.failure = failure.tooDeep(maxDepth, this.index, this.#offset + at - 1)
    // The array was closed by a brace, or a backslash stands outside strings: what ends there can't be one element.
    else this.failure = parseElement(bytes, start, at, this.index, this.#offset, { ...this.#rules, maxItems: Infinity }).failure
  }
}
