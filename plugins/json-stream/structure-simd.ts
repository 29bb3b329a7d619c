// The scan of structure.ts in WebAssembly, 64 bytes at a time: 3 GB/s, where byte by byte takes as long as JSON.parse does. One
// instance serves every body, because a scan is over before the next one begins; what a body has to remember is in its state.
import type { Structure } from './structure.ts'
import { WASM } from './structure-wasm.ts'

const PIECE = 65_536
/** The last block is read whole, whatever lies behind the input. */
const BLOCK = 64

interface Exports { memory: { buffer: ArrayBuffer }, scan: (length: number) => void }

/** `undefined` where WebAssembly, or its vectors, are missing or forbidden. */
export const scanVectors = load()

function load (): ((state: Structure, bytes: Buffer, to: number) => void) | undefined {
  let exports: Exports
  try {
    const { Module, Instance } = (globalThis as any).WebAssembly
    exports = new Instance(new Module(Buffer.from(WASM, 'base64'))).exports
  } catch {
    return undefined
  }
  const input = Buffer.from(exports.memory.buffer, 0, PIECE + BLOCK)
  const fields = new Int32Array(exports.memory.buffer, PIECE + BLOCK, 10)

  return function scanVectors (state, bytes, to) {
    do {
      const base = state.at
      const length = Math.min(PIECE, to - base)
      bytes.copy(input, 0, base, base + length)
      input.fill(0, length, length + BLOCK)
      fields[0] = state.depth
      fields[1] = state.inString
      fields[2] = state.escaped
      fields[3] = state.start
      fields[4] = state.comma
      fields[7] = state.maxDepth
      fields[8] = state.maxElementBytes
      fields[9] = base
      exports.scan(length)
      state.depth = fields[0]
      state.inString = fields[1]
      state.escaped = fields[2]
      state.start = fields[3]
      state.comma = fields[4]
      state.event = fields[5]!
      state.at = fields[6]!
    } while (state.at < to && state.event === 0)
  }
}
