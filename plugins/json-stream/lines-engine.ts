// Streams newline-delimited JSON (NDJSON, JSON Lines). Every line is parsed on its own: joined by commas, three lines that
// are not JSON could make an array that is.
import { decode, explainEnd, isBlank, parse, parseElement, type ElementRules } from './batch.ts'
import { ByteBuffer } from './byte-buffer.ts'
import { tooDeepAt } from './depth.ts'
import { ByteOrderMark, type Engine } from './engine.ts'
import { failure, type JsonStreamError } from './failure.ts'

const NEWLINE = 0x0a
const BLANK = /^[ \t\r]*$/

export class LinesEngine implements Engine {
  failure: JsonStreamError | undefined
  index = 0
  readonly #rules: ElementRules
  readonly #mark = new ByteOrderMark()
  readonly #pending = new ByteBuffer()
  /** The body's byte at the buffer's first. */
  #offset = 0

  constructor (rules: ElementRules) {
    this.#rules = rules
  }

  push (chunk: Buffer): unknown[] {
    const from = this.#mark.skip(chunk)
    this.#offset += from
    if (this.#mark.broken) {
      this.failure = failure.invalid(0, 0)
      return []
    }
    const before = this.#pending.length
    this.#pending.append(chunk, from)
    const last = chunk.lastIndexOf(NEWLINE)
    let values: unknown[] = []
    if (last >= from) {
      const cut = before + last - from + 1
      values = this.#readLines(cut)
      this.#pending.drop(cut)
      this.#offset += cut
    }
    // A line without its end can be too long already. Its depth waits, or each chunk would scan the line from its start.
    if (this.failure === undefined && this.#pending.length > this.#rules.maxElementBytes) this.#checkLimits(0, this.#pending.length)
    return values
  }

  end (): unknown[] {
    const { bytes, length } = this.#pending
    this.#mark.end()
    if (this.#mark.broken) this.failure = failure.invalid(0, 0)
    if (this.failure !== undefined || isBlank(bytes, 0, length) || !this.#checkLimits(0, length)) return []
    const element = parseElement(bytes, 0, length, this.index, this.#offset, this.#rules)
    if (element.failure === undefined) {
      this.index++
      return [element.value]
    }
    this.failure = element.failure.code === 'FST_SURGE_JSON_INVALID'
      ? explainEnd(bytes, 0, length, this.index, this.#offset)
      : element.failure
    return []
  }

  /** Parses the lines in the first `to` bytes, all of them whole. */
  #readLines (to: number): unknown[] {
    const { bytes } = this.#pending
    // Nearly always nothing is wrong: then one decoding and one look at the depth are enough for all.
    const text = to <= this.#rules.maxElementBytes ? decode(bytes, 0, to) : undefined
    const values = text === undefined ? undefined : this.#parseLines(text)
    if (values !== undefined && this.index + values.length <= this.#rules.maxItems && tooDeepAt(bytes, 0, to, this.#rules.maxDepth) === -1) {
      this.index += values.length
      return values
    }
    return this.#readOneByOne(to)
  }

  #parseLines (text: string): unknown[] | undefined {
    const values: unknown[] = []
    try {
      for (let start = 0; start < text.length;) {
        const end = text.indexOf('\n', start)
        const line = text.substring(start, end)
        if (!BLANK.test(line)) values.push(parse(line, this.#rules))
        start = end + 1
      }
      return values
    } catch {
      return undefined
    }
  }

  #readOneByOne (to: number): unknown[] {
    const { bytes } = this.#pending
    const values: unknown[] = []
    for (let start = 0; start < to;) {
      const end = bytes.indexOf(NEWLINE, start)
      if (!this.#checkLimits(start, end)) return values
      if (!isBlank(bytes, start, end)) {
        const element = parseElement(bytes, start, end, this.index, this.#offset, this.#rules)
        this.failure = element.failure
        if (element.failure !== undefined) return values
        values.push(element.value)
        this.index++
      }
      start = end + 1
    }
    return values
  }

  #checkLimits (start: number, end: number): boolean {
    const { maxElementBytes, maxDepth } = this.#rules
    const limit = start + maxElementBytes
    const deep = tooDeepAt(this.#pending.bytes, start, end, maxDepth)
    if (deep !== -1 && deep <= limit) this.failure = failure.tooDeep(maxDepth, this.index, this.#offset + deep)
    else if (end > limit) this.failure = failure.elementTooLarge(maxElementBytes, this.index, this.#offset + limit)
    return this.failure === undefined
  }
}
