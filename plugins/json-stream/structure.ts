// What a scan knows of the bytes of an array: strings, depth, and where its elements end. It goes on from where it stopped, so a body
// may be cut anywhere, and it stops at the first byte that says no more is to be read. Whether what lies between is JSON it does not ask.

/** How a scan ended: at the last byte, at the bracket or brace that closes the array, at a limit, or at a backslash outside strings, which is no JSON. */
export const GOES_ON = 0
export const CLOSED = 1
export const TOO_DEEP = 2
export const TOO_LARGE = 3
export const STRAY = 4

/** What may be among the bytes that were scanned, as bits: any that is not ASCII; a property name that is, or by escapes could be, a forbidden one. */
export const NOT_ASCII = 1
export const SUSPECT = 2

export interface Structure {
  /** Containers that are open, the array included. */
  depth: number
  /** -1 within a string, else 0. */
  inString: number
  /** 1 where a backslash precedes the next byte, else 0. */
  escaped: number
  /** Where the element begins that `at` lies in. */
  start: number
  /** The last comma between elements, or -1. */
  comma: number
  event: number
  /** The next byte to be looked at; after an event, the one behind it. */
  at: number
  /** Of the last scan. */
  seen: number
  readonly maxDepth: number
  readonly maxElementBytes: number
}

/** The largest that a limit may be: positions are 32-bit numbers to the scan. */
export const MAX_LIMIT = 2 ** 30

export function structure (maxDepth: number, maxElementBytes: number): Structure {
  return { depth: 1, inString: 0, escaped: 0, start: 0, comma: -1, event: GOES_ON, at: 0, seen: 0, maxDepth: Math.min(maxDepth, MAX_LIMIT), maxElementBytes: Math.min(maxElementBytes, MAX_LIMIT) }
}

const PLAIN = 0
const QUOTE = 1
const OPEN = 2
const CLOSE = 3
const COMMA = 4
const BACKSLASH = 5
const KIND = new Uint8Array(256)
KIND[0x22] = QUOTE
KIND[0x5b] = KIND[0x7b] = OPEN
KIND[0x5d] = KIND[0x7d] = CLOSE
KIND[0x2c] = COMMA
KIND[0x5c] = BACKSLASH

/** Scans `bytes[state.at, to)` byte by byte: for short pieces, and where there is no WebAssembly. What it has seen it does not say. */
export function scanBytes (state: Structure, bytes: Buffer, to: number): void {
  let { at, depth, inString, escaped } = state
  while (at < to) {
    if (inString !== 0) {
      const byte = bytes[at++]!
      if (escaped !== 0) escaped = 0
      else if (byte === 0x5c) escaped = 1
      else if (byte === 0x22) inString = 0
      continue
    }
    const kind = KIND[bytes[at++]!]!
    if (kind === PLAIN) continue
    if (kind === QUOTE) {
      inString = -1
    } else if (kind === OPEN) {
      if (++depth > state.maxDepth) state.event = TOO_DEEP
    } else if (kind === CLOSE) {
      if (--depth === 0) state.event = CLOSED
    } else if (kind === BACKSLASH) {
      state.event = STRAY
    } else if (depth === 1) {
      if (at - 1 - state.start > state.maxElementBytes) {
        state.event = TOO_LARGE
      } else {
        state.comma = at - 1
        state.start = at
      }
    }
    if (state.event !== GOES_ON) break
  }
  state.at = at
  state.seen = NOT_ASCII | SUSPECT
  state.depth = depth
  state.inString = inString
  state.escaped = escaped
}
