// Picks the scan of structure.ts that is fastest for what is to be scanned: the vectors, wherever there are some and it is long enough.
import { scanVectors } from './structure-simd.ts'
import { MAX_LIMIT, scanBytes, structure, TOO_DEEP, type Structure } from './structure.ts'

/** Fewer bytes than this are not worth the way into WebAssembly. */
const WORTH_VECTORS = 128

/** Scans `bytes[state.at, to)`. */
export function scan (state: Structure, bytes: Buffer, to: number): void {
  if (to - state.at < WORTH_VECTORS || scanVectors === undefined) scanBytes(state, bytes, to)
  else scanVectors(state, bytes, to)
}

/** The position of the bracket in `bytes[from, to)` that opens one level too many, or -1. */
export function tooDeepAt (bytes: Buffer, from: number, to: number, maxDepth: number): number {
  if (to - from <= maxDepth) return -1
  // One level up, so that what closes the outermost is not taken for the end of an array.
  const state = structure(maxDepth + 1, MAX_LIMIT)
  state.at = state.start = from
  scan(state, bytes, to)
  return state.event === TOO_DEEP ? state.at - 1 : -1
}
