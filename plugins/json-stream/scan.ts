// Picks the scan of structure.ts that is fastest for what is to be scanned: the vectors, wherever there are some and it is long enough.
import { vectors } from './structure-simd.ts'
import { scanBytes, type Structure } from './structure.ts'

/** Fewer bytes than this are not worth the way into WebAssembly. */
const WORTH_VECTORS = 128

/** Where bytes are scanned in place; empty without vectors. It holds what was put there until another body is read. */
export const window = vectors?.window ?? Buffer.alloc(0)

/** Scans `bytes[state.at, to)`. */
export function scan (state: Structure, bytes: Buffer, to: number): void {
  if (to - state.at < WORTH_VECTORS || vectors === undefined) scanBytes(state, bytes, to)
  else vectors.scan(state, bytes, to)
}
