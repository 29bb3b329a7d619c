// Counts how deep JSON nests, over bytes or over a string, without building any of it. Brackets within strings do not count, and what
// is not JSON may come out as anything: nobody builds it.
import { vectors } from './structure-simd.ts'

/** Nothing to look for in a string of one-byte characters, and V8 knows it. */
const WIDE = /[\u0100-\uffff]/

/** Fewer code units than this are not worth the way into WebAssembly: over a socket it costs a request a microsecond, whatever it finds there. */
const WORTH_VECTORS = 256

/** The position of the bracket in `bytes[from, to)` that opens one level too many, or -1. */
export function tooDeepAt (bytes: Buffer, from: number, to: number, maxDepth: number): number {
  if (to - from <= maxDepth) return -1
  if (vectors === undefined) return tooDeepByLoop(at => bytes[at]!, from, to, maxDepth)
  const { window } = vectors
  return inPieces(from, to, window.length, maxDepth, (from, to) => { bytes.copy(window, 0, from, to) })
}

/** The same of a string: the position is a code unit's. */
export function tooDeepIn (text: string, maxDepth: number): number {
  if (text.length <= maxDepth) return -1
  if (vectors === undefined || text.length < WORTH_VECTORS) return tooDeepByLoop(at => text.charCodeAt(at), 0, text.length, maxDepth)
  const { window, writeWide } = vectors
  if (WIDE.test(text)) return inPieces(0, text.length, window.length / 2, maxDepth, (from, to) => writeWide(text.substring(from, to)))
  return inPieces(0, text.length, window.length, maxDepth, (from, to) => { window.write(text.substring(from, to), 'latin1') })
}

/** @param fill puts what lies between two positions at the window's beginning */
function inPieces (from: number, to: number, size: number, maxDepth: number, fill: (from: number, to: number) => void): number {
  const state = { depth: 0, inString: 0, escaped: 0 }
  for (let at = from; at < to; at += size) {
    const end = Math.min(at + size, to)
    fill(at, end)
    const found = vectors!.deep(state, end - at, maxDepth)
    if (found !== -1) return at + found
  }
  return -1
}

export function tooDeepByLoop (codeAt: (at: number) => number, from: number, to: number, maxDepth: number): number {
  let depth = 0
  let inString = false
  for (let at = from; at < to; at++) {
    const code = codeAt(at)
    if (code === 0x5c) at++
    else if (code === 0x22) inString = !inString
    else if (inString) continue
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > maxDepth) return at
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return -1
}
