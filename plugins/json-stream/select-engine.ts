// Streams what a pattern selects, through stream-json. That parser has no limits, positions or UTF-8 check of its own, so
// every byte passes the grammar first: stream-json only ever sees valid JSON within the limits, up to the exact byte of a fault.
import { StringDecoder } from 'node:string_decoder'
import secureParse from 'secure-json-parse'
import { getManyValues, isMany, none } from 'stream-chain/core'
import { jsonParser, type Token } from 'stream-json/core/parser.js'
import { pick } from 'stream-json/core/filters/pick.js'
import { streamArray } from 'stream-json/core/streamers/stream-array.js'
import { streamObject } from 'stream-json/core/streamers/stream-object.js'
import { streamValues } from 'stream-json/core/streamers/stream-values.js'
import type { ElementRules } from './batch.ts'
import { ByteOrderMark, type Engine } from './engine.ts'
import { failure, type JsonStreamError } from './failure.ts'
import { AFTER, JsonGrammar, NOT_JSON, NOT_UTF8, OK, TOO_DEEP } from './grammar.ts'
import { matcher, type Selector } from './selector.ts'

type Stage = (input: any) => unknown
interface Item { key: string | number, value: unknown }

const FORBIDDEN = Symbol('forbidden')
const REMOVED = Symbol('removed')

export class SelectEngine implements Engine {
  failure: JsonStreamError | undefined
  index = 0
  readonly #selector: Selector
  readonly #rules: ElementRules
  readonly #grammar: JsonGrammar
  readonly #mark = new ByteOrderMark()
  readonly #decoder = new StringDecoder('utf8')
  readonly #parse: Stage
  readonly #pick: Stage
  #stream: Stage = streamValues() as Stage
  #offset = 0
  /** Containers of the current match that are open. */
  #depth = 0
  /** Bytes of the current element, keys and scalars only, and one a token. */
  #bytes = 0
  /** A key of the current element could change a prototype. */
  #suspect = false
  #values: unknown[] = []

  constructor (selector: Selector, rules: ElementRules) {
    this.#selector = selector
    this.#rules = rules
    // A scalar longer than an element may be would be held whole, selected or not.
    this.#grammar = new JsonGrammar(rules.maxDepth, rules.maxElementBytes)
    // Packed values only: stream-json is twice as fast without their pieces.
    this.#parse = jsonParser({ packValues: true, streamValues: false }) as Stage
    this.#pick = pick({ filter: matcher(selector.match) as RegExp, maxDepth: rules.maxDepth }) as Stage
  }

  push (chunk: Buffer): unknown[] {
    const from = this.#mark.skip(chunk)
    if (this.#mark.broken) {
      this.failure = failure.invalid(0, 0)
      return []
    }
    const end = this.#grammar.push(chunk, from, chunk.length)
    this.#values = []
    this.#take(this.#parse(this.#decoder.write(chunk.subarray(from, end))))
    if (this.failure === undefined && end < chunk.length) {
      this.#release()
      this.failure ??= this.#explain(this.#offset + end)
    }
    this.#offset += chunk.length
    return this.#values
  }

  end (): unknown[] {
    this.#values = []
    if (this.#grammar.complete) this.#take(this.#parse(none))
    else {
      this.#release()
      this.failure ??= failure.truncated(this.index, this.#offset)
    }
    return this.#values
  }

  /**
   * stream-json may hold a number back until it sees what follows, depending on how the body was cut. A comma, where
   * one may stand, brings it out, so that the same elements come before a fault whatever the chunks were.
   */
  #release (): void {
    if (this.#grammar.state === AFTER && this.#grammar.depth > 0) this.#take(this.#parse(','))
  }

  #explain (offset: number): JsonStreamError {
    switch (this.#grammar.verdict) {
      case OK:
      case NOT_JSON: return failure.invalid(this.index, offset)
      case NOT_UTF8: return failure.notUtf8(this.index, offset)
      case TOO_DEEP: return failure.tooDeep(this.#rules.maxDepth, this.index, offset)
    }
    return failure.elementTooLarge(this.#rules.maxElementBytes, this.index, offset)
  }

  #take (parsed: unknown): void {
    for (const token of each<Token>(parsed)) {
      for (const picked of each<Token>(this.#pick(token))) {
        this.#assemble(picked)
        if (this.failure !== undefined) return
      }
    }
  }

  #assemble (token: Token): void {
    if (this.#depth === 0 && !this.#begin(token)) return
    this.#bytes += 'value' in token && typeof token.value === 'string' ? Buffer.byteLength(token.value) + 1 : 1
    if (this.#bytes > this.#rules.maxElementBytes) {
      this.failure = failure.elementTooLarge(this.#rules.maxElementBytes, this.index, this.#offset)
      return
    }
    if (token.name === 'keyValue' && (token.value === '__proto__' || token.value === 'constructor')) this.#suspect = true
    else if (token.name === 'startObject' || token.name === 'startArray') this.#depth++
    else if (token.name === 'endObject' || token.name === 'endArray') this.#depth--
    const item = this.#stream(token)
    if (item !== none) this.#deliver(item as Item)
  }

  /** The first token of a match: says whether the match is what the route expects. */
  #begin (token: Token): boolean {
    const { as } = this.#selector
    this.#bytes = 0
    if (as === 'values') return true
    const [opening, make] = as === 'elements' ? ['startArray', streamArray] as const : ['startObject', streamObject] as const
    if (token.name !== opening) {
      this.failure = failure.shape(as === 'elements' ? 'an array at every match' : 'an object at every match', this.index, this.#offset)
      return false
    }
    this.#stream = make() as Stage
    return true
  }

  #deliver (item: Item): void {
    if (this.index >= this.#rules.maxItems) {
      this.failure = failure.tooManyItems(this.#rules.maxItems, this.#offset)
      return
    }
    const value = this.#suspect ? this.#sanitize(item) : this.#element(item)
    this.#bytes = 0
    this.#suspect = false
    if (value === FORBIDDEN) this.failure = failure.prototype(this.index, this.#offset)
    if (value === FORBIDDEN || value === REMOVED) return
    this.#values.push(value)
    this.index++
  }

  #element (item: Item): unknown {
    return this.#selector.as === 'entries' ? { key: item.key, value: item.value } : item.value
  }

  /** secure-json-parse on an element as it would sit in its object, so that an entry's own key counts too. */
  #sanitize (item: Item): unknown {
    const { onProtoPoisoning: protoAction, onConstructorPoisoning: constructorAction } = this.#rules
    const holder: Record<string, unknown> = {}
    const key = this.#selector.as === 'entries' ? item.key : 'element'
    Object.defineProperty(holder, key, { value: item.value, enumerable: true, configurable: true, writable: true })
    try {
      secureParse.scan(holder, { protoAction, constructorAction })
    } catch {
      return FORBIDDEN
    }
    return Object.hasOwn(holder, key) ? this.#element(item) : REMOVED
  }
}

/** What a stage of stream-json returned: nothing, one token or several. */
function each<T> (output: unknown): T[] {
  if (output === none) return []
  return isMany(output) ? getManyValues(output) as T[] : [output as T]
}
