// JSON's grammar (RFC 8259) byte by byte: says whether a byte may follow the ones before it, and keeps nothing else. It finds
// the exact byte of a fault, walks the objects around a streamed array, and keeps whatever is not JSON from stream-json.

/** A container's inside, or what is expected next. Exported for those who watch a grammar at work. */
export const VALUE = 0
export const FIRST_ITEM = 1
export const FIRST_KEY = 2
export const KEY = 3
export const COLON = 4
/** A comma or the container's end; at depth 0, only space. */
export const AFTER = 5
const STRING = 6
const ESCAPE = 7
const HEX = 8
const LITERAL = 9
// Numbers: the four that may end there are odd.
const MINUS = 10
const ZERO = 11
const POINT = 12
const INTEGER = 13
const EXPONENT = 14
const FRACTION = 15
const EXPONENT_SIGN = 16
const EXPONENT_DIGITS = 17

export const OK = 0
export const NOT_JSON = 1
export const NOT_UTF8 = 2
export const TOO_DEEP = 3
export const TOKEN_TOO_LONG = 4
export type Verdict = typeof OK | typeof NOT_JSON | typeof NOT_UTF8 | typeof TOO_DEEP | typeof TOKEN_TOO_LONG

const QUOTE = 0x22
const BACKSLASH = 0x5c

export class JsonGrammar {
  state = VALUE
  /** Within an object's key. */
  inKey = false
  verdict: Verdict = OK
  readonly #maxDepth: number
  readonly #maxTokenBytes: number
  /** One entry a container that is open, true for an object. */
  readonly #open: boolean[] = []
  #tokenBytes = 0
  #literal = ''
  /** Position in the literal, or hexadecimal digits still to come. */
  #left = 0
  /** UTF-8 continuation bytes still to come, and the range of the next one (Unicode table 3-7). */
  #continuation = 0
  #low = 0x80
  #high = 0xbf

  constructor (maxDepth = Infinity, maxTokenBytes = Infinity) {
    this.#maxDepth = maxDepth
    this.#maxTokenBytes = maxTokenBytes
  }

  get depth (): number {
    return this.#open.length
  }

  /** The bytes so far are one whole JSON text. */
  get complete (): boolean {
    return this.#open.length === 0 && (this.state === AFTER || (this.state >= MINUS && (this.state & 1) === 1))
  }

  /** Takes bytes until one may not follow; returns its position, with `verdict` set, or `to`. */
  push (bytes: Uint8Array, from: number, to: number): number {
    for (let at = from; at < to; at++) {
      if (this.step(bytes[at]!) !== OK) return at
    }
    return to
  }

  /** Skips the rest of the array just opened, which somebody else has read up to its end. */
  closeArray (): void {
    this.#open.pop()
    this.state = AFTER
  }

  step (byte: number): Verdict {
    if (++this.#tokenBytes > this.#maxTokenBytes && this.state >= STRING) return this.#fail(TOKEN_TOO_LONG)
    switch (this.state) {
      case STRING: return this.#string(byte)
      case ESCAPE: return this.#escape(byte)
      case HEX:
        if (!isHex(byte)) return this.#fail(NOT_JSON)
        if (--this.#left === 0) this.state = STRING
        return OK
      case LITERAL:
        if (byte !== this.#literal.charCodeAt(this.#left)) return this.#fail(NOT_JSON)
        if (++this.#left === this.#literal.length) this.state = AFTER
        return OK
    }
    if (this.state >= MINUS) {
      if (this.#number(byte)) return OK
      // Only the odd states may be a number's end, and only before something that may follow a value.
      if ((this.state & 1) === 0 || !(isSpace(byte) || byte === 0x2c || byte === 0x5d || byte === 0x7d)) return this.#fail(NOT_JSON)
      this.state = AFTER
    }
    if (isSpace(byte)) return OK
    this.#tokenBytes = 1
    switch (this.state) {
      case VALUE: return this.#value(byte)
      case FIRST_ITEM: return byte === 0x5d ? this.#close(false) : this.#value(byte)
      case FIRST_KEY: return byte === 0x7d ? this.#close(true) : this.#key(byte)
      case KEY: return this.#key(byte)
      case COLON:
        if (byte !== 0x3a) return this.#fail(NOT_JSON)
        this.state = VALUE
        return OK
    }
    // AFTER
    if (byte === 0x2c && this.#open.length > 0) {
      this.state = this.#open.at(-1) ? KEY : VALUE
      return OK
    }
    if (byte === 0x5d) return this.#close(false)
    if (byte === 0x7d) return this.#close(true)
    return this.#fail(NOT_JSON)
  }

  #fail (verdict: Verdict): Verdict {
    return (this.verdict = verdict)
  }

  #value (byte: number): Verdict {
    switch (byte) {
      case QUOTE: this.state = STRING; this.inKey = false; return OK
      case 0x7b: return this.#openContainer(true)
      case 0x5b: return this.#openContainer(false)
      case 0x74: return this.#startLiteral('true')
      case 0x66: return this.#startLiteral('false')
      case 0x6e: return this.#startLiteral('null')
      case 0x2d: this.state = MINUS; return OK
      case 0x30: this.state = ZERO; return OK
    }
    if (!isDigit(byte)) return this.#fail(NOT_JSON)
    this.state = INTEGER
    return OK
  }

  #key (byte: number): Verdict {
    if (byte !== QUOTE) return this.#fail(NOT_JSON)
    this.state = STRING
    this.inKey = true
    return OK
  }

  #startLiteral (literal: string): Verdict {
    this.#literal = literal
    this.#left = 1
    this.state = LITERAL
    return OK
  }

  #openContainer (object: boolean): Verdict {
    if (this.#open.length >= this.#maxDepth) return this.#fail(TOO_DEEP)
    this.#open.push(object)
    this.state = object ? FIRST_KEY : FIRST_ITEM
    return OK
  }

  #close (object: boolean): Verdict {
    if (this.#open.length === 0 || this.#open.at(-1) !== object) return this.#fail(NOT_JSON)
    this.#open.pop()
    this.state = AFTER
    return OK
  }

  #string (byte: number): Verdict {
    if (this.#continuation > 0) {
      if (byte < this.#low || byte > this.#high) return this.#fail(NOT_UTF8)
      this.#low = 0x80
      this.#high = 0xbf
      this.#continuation--
      return OK
    }
    if (byte === QUOTE) this.state = this.inKey ? COLON : AFTER
    else if (byte === BACKSLASH) this.state = ESCAPE
    else if (byte < 0x20) return this.#fail(NOT_JSON)
    else if (byte >= 0x80) return this.#lead(byte)
    return OK
  }

  #lead (byte: number): Verdict {
    if (byte < 0xc2 || byte > 0xf4) return this.#fail(NOT_UTF8)
    this.#continuation = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3
    // The second byte's range excludes overlong forms, surrogates and what lies past U+10FFFF.
    if (byte === 0xe0) this.#low = 0xa0
    else if (byte === 0xed) this.#high = 0x9f
    else if (byte === 0xf0) this.#low = 0x90
    else if (byte === 0xf4) this.#high = 0x8f
    return OK
  }

  #escape (byte: number): Verdict {
    switch (byte) {
      case QUOTE: case BACKSLASH: case 0x2f: case 0x62: case 0x66: case 0x6e: case 0x72: case 0x74:
        this.state = STRING
        return OK
      case 0x75:
        this.state = HEX
        this.#left = 4
        return OK
    }
    return this.#fail(NOT_JSON)
  }

  /** Whether the byte belongs to the number. */
  #number (byte: number): boolean {
    const digit = isDigit(byte)
    switch (this.state) {
      case MINUS: this.state = byte === 0x30 ? ZERO : digit ? INTEGER : MINUS; return digit
      case INTEGER:
      case ZERO:
        if (digit) return this.state === INTEGER
        if (byte === 0x2e) this.state = POINT
        else if (byte === 0x65 || byte === 0x45) this.state = EXPONENT
        else return false
        return true
      case POINT: if (digit) this.state = FRACTION; return digit
      case FRACTION:
        if (byte === 0x65 || byte === 0x45) this.state = EXPONENT
        else return digit
        return true
      case EXPONENT:
        if (byte === 0x2b || byte === 0x2d) this.state = EXPONENT_SIGN
        else if (digit) this.state = EXPONENT_DIGITS
        else return false
        return true
      case EXPONENT_SIGN: if (digit) this.state = EXPONENT_DIGITS; return digit
    }
    return digit
  }
}

export function isSpace (byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function isDigit (byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function isHex (byte: number): boolean {
  return isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66)
}
