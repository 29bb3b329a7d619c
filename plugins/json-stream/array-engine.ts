// Streams the array at the root or at a path such as `data.items`: walks the objects around it strictly, so that a body
// whose array is missing, doubled or something else is refused and never looks empty.
import { JsonEnvelopeTooLarge } from '../shared/errors.ts'
import { ByteOrderMark, type Engine, type EngineRules } from './engine.ts'
import { failure, located, type JsonStreamError } from './failure.ts'
import { COLON, FIRST_ITEM, FIRST_KEY, JsonGrammar, KEY, NOT_UTF8, OK, TOO_DEEP, VALUE, isSpace } from './grammar.ts'
import { Splitter } from './splitter.ts'

export class ArrayEngine implements Engine {
  failure: JsonStreamError | undefined
  readonly #path: readonly string[]
  readonly #rules: EngineRules
  readonly #grammar: JsonGrammar
  readonly #mark = new ByteOrderMark()
  #splitter: Splitter | undefined
  /** The body's byte at the chunk's first. */
  #offset = 0
  #envelopeBytes = 0
  /** Objects that are open and lie on the path. */
  #onPath = 0
  /** By level: the path's key was seen there. */
  readonly #seen: boolean[] = []
  /** The next value is the path's next object, or the array itself. */
  #awaited = true
  /** The bytes of the key that is coming in. */
  #key: number[] = []

  /** @param path the keys down to the array; none for an array at the root */
  constructor (path: readonly string[], rules: EngineRules) {
    this.#path = path
    this.#rules = rules
    this.#grammar = new JsonGrammar(rules.maxDepth)
  }

  push (chunk: Buffer): unknown[] {
    let at = this.#skipMark(chunk)
    let values: unknown[] = []
    while (at < chunk.length && this.failure === undefined) {
      if (this.#splitter === undefined || this.#splitter.closed) {
        this.#step(chunk[at]!, this.#offset + at)
        at++
        continue
      }
      // One array a body, so this happens once a chunk.
      values = this.#splitter.push(chunk, at, chunk.length)
      this.failure = this.#splitter.failure
      at = this.#splitter.consumed
      if (this.#splitter.closed) this.#grammar.closeArray()
    }
    this.#offset += chunk.length
    return values
  }

  end (): unknown[] {
    if (this.#splitter !== undefined && !this.#splitter.closed) {
      this.#splitter.end()
      this.failure = this.#splitter.failure
    } else if (!this.#grammar.complete) {
      this.failure = failure.truncated(this.index, this.#offset)
    } else if (this.#splitter === undefined) {
      this.#misshapen(this.#offset)
    }
    return []
  }

  get index (): number {
    return this.#splitter?.index ?? 0
  }

  #skipMark (chunk: Buffer): number {
    const at = this.#mark.skip(chunk)
    if (this.#mark.broken) this.failure = failure.invalid(0, 0)
    return at
  }

  #step (byte: number, offset: number): void {
    const grammar = this.#grammar
    const before = grammar.state
    const expectsValue = before === VALUE || before === FIRST_ITEM
    const verdict = grammar.step(byte)
    if (verdict === TOO_DEEP) this.failure = failure.tooDeep(this.#rules.maxDepth, this.index, offset)
    else if (verdict === NOT_UTF8) this.failure = failure.notUtf8(this.index, offset)
    else if (verdict !== OK) this.failure = failure.invalid(this.index, offset)
    if (verdict !== OK) return

    const counted = grammar.inKey || !isSpace(byte)
    if (counted && ++this.#envelopeBytes > this.#rules.maxEnvelopeBytes) {
      this.failure = located(new JsonEnvelopeTooLarge(this.#rules.maxEnvelopeBytes), this.index, offset)
      return
    }
    if (expectsValue && this.#awaited && !isSpace(byte)) this.#arrive(byte, offset)
    else if (byte === 0x7d && grammar.depth < this.#onPath) this.#onPath = grammar.depth
    else if (this.#onPath > 0 && grammar.depth === this.#onPath && grammar.inKey) this.#readKey(byte, before, offset)
  }

  /** A value begins where the path leads. */
  #arrive (byte: number, offset: number): void {
    this.#awaited = false
    const atArray = this.#onPath === this.#path.length
    if (byte !== (atArray ? 0x5b : 0x7b)) this.#misshapen(offset)
    else if (!atArray) this.#onPath++
    else this.#splitter = new Splitter(this.#rules, offset + 1, this.#grammar.depth)
  }

  #readKey (byte: number, before: number, offset: number): void {
    if (before === FIRST_KEY || before === KEY) {
      this.#key = []
      return
    }
    if (before === COLON) return
    if (this.#grammar.state !== COLON) {
      this.#key.push(byte)
      return
    }
    // `"\u0069tems"` is `items` too.
    const key = JSON.parse(`"${Buffer.from(this.#key).toString()}"`)
    const level = this.#onPath - 1
    this.#awaited = key === this.#path[level]
    if (this.#awaited && this.#seen[level]) this.#misshapen(offset)
    this.#seen[level] ||= this.#awaited
  }

  #misshapen (offset: number): void {
    const expected = this.#path.length === 0 ? 'an array' : `one array at \`${this.#path.join('.')}\``
    this.failure = failure.shape(expected, this.index, offset)
  }
}
