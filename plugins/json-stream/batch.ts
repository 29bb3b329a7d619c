// Parses many elements with one JSON.parse, and when that fails finds the one at fault, so that the elements before it are
// delivered whatever chunks they came in. Escaped or not, a forbidden prototype property does not get past it.
import { isAscii, isUtf8, transcode } from 'node:buffer'
import secureParse from 'secure-json-parse'
import { failure, type JsonStreamError } from './failure.ts'
import { JsonGrammar, NOT_JSON, NOT_UTF8, OK, isSpace } from './grammar.ts'
import { NOT_ASCII, SUSPECT } from './structure.ts'

/** Bytes from which on a conversion by vectors is worth the Buffer between; never without ICU, which has it. */
const WORTH_TRANSCODING = typeof transcode === 'function' ? 1024 : Infinity

export type PoisoningAction = 'error' | 'remove' | 'ignore'

/** What is asked of each element, besides being JSON. */
export interface ElementRules {
  maxElementBytes: number
  maxDepth: number
  /** Elements at most. */
  maxItems: number
  onProtoPoisoning: PoisoningAction
  onConstructorPoisoning: PoisoningAction
}

export interface Batch {
  values: unknown[]
  failure: JsonStreamError | undefined
}

/**
 * Parses the comma-separated elements in `bytes[from, to)`. The two bytes around them are brackets while it does.
 * @param index the first element's
 * @param offset the body's byte at `bytes[0]`
 * @param seen what a scan of structure.ts has seen of the bytes
 */
export function parseBatch (bytes: Buffer, from: number, to: number, index: number, offset: number, rules: ElementRules, seen: number): Batch {
  const values = parseTogether(bytes, from, to, rules, seen)
  // A batch of no element is a comma without one. It would parse, so it goes the slow way.
  if (values !== undefined && values.length > 0 && index + values.length <= rules.maxItems) return { values, failure: undefined }
  return parseOneByOne(bytes, from, to, index, offset, rules)
}

/** All of them by one JSON.parse, or `undefined` when something is wrong with one. Brackets put around the text instead would cost a copy of it. */
function parseTogether (bytes: Buffer, from: number, to: number, rules: ElementRules, seen: number): unknown[] | undefined {
  const before = bytes[from - 1]!
  const after = bytes[to]!
  bytes[from - 1] = 0x5b
  bytes[to] = 0x5d
  const text = (seen & NOT_ASCII) === 0 ? bytes.toString('latin1', from - 1, to + 1) : decode(bytes, from - 1, to + 1)
  bytes[from - 1] = before
  bytes[to] = after
  if (text === undefined) return undefined
  try { return ((seen & SUSPECT) === 0 ? JSON.parse(text) : parse(text, rules)) as unknown[] } catch { return undefined }
}

function parseOneByOne (bytes: Buffer, from: number, to: number, first: number, offset: number, rules: ElementRules): Batch {
  const values: unknown[] = []
  for (let start = from; start <= to;) {
    const end = nextComma(bytes, start, to)
    const element = parseElement(bytes, start, end, first + values.length, offset, rules)
    if (element.failure !== undefined) return { values, failure: element.failure }
    values.push(element.value)
    start = end + 1
  }
  return { values, failure: undefined }
}

/** Parses the one element in `bytes[start, end)` and says what is wrong with it. */
export function parseElement (bytes: Buffer, start: number, end: number, index: number, offset: number, rules: ElementRules): { value: unknown, failure: JsonStreamError | undefined } {
  const blank = isBlank(bytes, start, end)
  if (!blank && index >= rules.maxItems) return { value: undefined, failure: failure.tooManyItems(rules.maxItems, offset + start) }
  const text = decode(bytes, start, end)
  try {
    if (text !== undefined && !blank) return { value: parse(text, rules), failure: undefined }
  } catch {}
  return { value: undefined, failure: explain(bytes, start, end, index, offset) }
}

/** What is wrong with bytes that did not parse: the grammar finds the byte. */
function explain (bytes: Buffer, start: number, end: number, index: number, offset: number): JsonStreamError {
  const grammar = new JsonGrammar()
  const at = grammar.push(bytes, start, end)
  if (grammar.verdict === NOT_UTF8) return failure.notUtf8(index, offset + at)
  if (grammar.verdict === OK && grammar.complete) return failure.prototype(index, offset + start)
  return failure.invalid(index, offset + at)
}

/** Whether bytes that ended too early could have gone on; if not, the error that says where. */
export function explainEnd (bytes: Buffer, start: number, end: number, index: number, offset: number): JsonStreamError {
  const grammar = new JsonGrammar()
  const at = grammar.push(bytes, start, end)
  if (grammar.verdict === NOT_UTF8) return failure.notUtf8(index, offset + at)
  if (grammar.verdict === NOT_JSON) return failure.invalid(index, offset + at)
  return failure.truncated(index, offset + end)
}

/**
 * `undefined` for bytes that are not UTF-8. Most JSON is ASCII, which needs no decoding at all (4 GB/s). The rest goes by way of
 * UTF-16, which Node converts to by vectors: 1 GB/s and more against 0.15 of toString() in Node 20.
 */
export function decode (bytes: Buffer, from: number, to: number): string | undefined {
  const slice = bytes.subarray(from, to)
  if (isAscii(slice)) return slice.toString('latin1')
  if (!isUtf8(slice)) return undefined
  return slice.length < WORTH_TRANSCODING ? slice.toString() : transcode(slice, 'utf8', 'utf16le').toString('utf16le')
}

/** JSON.parse, and the app's `onProtoPoisoning` and `onConstructorPoisoning`. Throws. */
export function parse (text: string, rules: ElementRules): unknown {
  if (!mayBePoisoned(text)) return JSON.parse(text)
  return secureParse(text, undefined, { protoAction: rules.onProtoPoisoning, constructorAction: rules.onConstructorPoisoning })
}

/** Of two words V8's regular expressions skip ahead by both: 7 µs a 64 KiB of records, where a search for `constructor` alone took 24. */
const NAMES = /__proto__|constructor/

/**
 * Cheap looks at the text; the regular expressions of secure-json-parse are for the suspects. Escaped, each of these
 * letters is one from \u0050 to \u007f. A text without a backslash, as most are, has no more to be looked for; in others `u00` comes
 * first, since some have a backslash every few bytes.
 */
function mayBePoisoned (text: string): boolean {
  if (NAMES.test(text)) return true
  return text.includes('\\') && text.includes('u00') && (text.includes('\\u005') || text.includes('\\u006') || text.includes('\\u007'))
}

/** The next comma outside strings and containers, or `to`. */
function nextComma (bytes: Buffer, from: number, to: number): number {
  let depth = 0
  let inString = false
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!
    if (inString) {
      if (byte === 0x5c) at++
      else if (byte === 0x22) inString = false
    } else if (byte === 0x22) inString = true
    else if (byte === 0x5b || byte === 0x7b) depth++
    else if (byte === 0x5d || byte === 0x7d) depth--
    else if (byte === 0x2c && depth === 0) return at
  }
  return to
}

export function isBlank (bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    if (!isSpace(bytes[at]!)) return false
  }
  return true
}
