// The scan of structure.ts in WebAssembly, 64 bytes at a time: 6 GB/s, where byte by byte takes as long as JSON.parse does. One
// instance serves every body, because a scan is over before the next one begins; what a body has to remember is in its state.
import type { Structure } from './structure.ts'
import { WASM } from './structure-wasm.ts'

const WINDOW_BYTES = 131_072
/** Bytes before the window that a scan may look back on, and behind it, where the last block is read whole. */
const MARGIN = 64
/** Bytes of what was scanned before, for a name that began there. */
const LOOK_BACK = 16

interface Exports {
  memory: { buffer: ArrayBuffer }
  narrow: (units: number) => void
  deep: (from: number, to: number, maxDepth: number) => number
  scan: (from: number, to: number, delta: number) => void
}

type Nesting = Pick<Structure, 'depth' | 'inString' | 'escaped'>

export interface Vectors {
  /** What lies here is looked at in place. It is anybody's: what is in it holds until the next call of somebody else. */
  window: Buffer
  /** Puts text of up to half its length into the window, a byte a code unit. What is above 0xff becomes 0xff or 0: nobody looks for these. */
  writeWide: (text: string) => void
  /** Where in the window's first `length` bytes a bracket opens one level too many, or -1. */
  deep: (state: Nesting, length: number, maxDepth: number) => number
  /** Scans `bytes[state.at, to)`; in place, if they are the window. */
  scan: (state: Structure, bytes: Buffer, to: number) => void
}

/** `undefined` where WebAssembly, or its vectors, are missing or forbidden. */
export const vectors = load()

function load (): Vectors | undefined {
  try {
    const { Module, Instance } = (globalThis as any).WebAssembly
    return over(new Instance(new Module(Buffer.from(WASM, 'base64'))).exports)
  } catch {
    return undefined
  }
}

function over ({ memory, narrow, deep, scan }: Exports): Vectors {
  const window = Buffer.from(memory.buffer, MARGIN, WINDOW_BYTES)
  const fields = new Int32Array(memory.buffer, MARGIN + WINDOW_BYTES + MARGIN, 10)

  return {
    window,

    writeWide (text) {
      window.write(text, 'utf16le')
      narrow(text.length)
    },

    deep (state, length, maxDepth) {
      fields[0] = state.depth
      fields[1] = state.inString
      fields[2] = state.escaped
      const found = deep(MARGIN, MARGIN + length, maxDepth)
      state.depth = fields[0]
      state.inString = fields[1]
      state.escaped = fields[2]
      return found === 0 ? -1 : found - MARGIN
    },

    scan (state, input, to) {
      state.seen = 0
      do {
        const base = input === window ? 0 : Math.max(0, state.at - LOOK_BACK)
        const end = Math.min(base + WINDOW_BYTES, to)
        if (input !== window) input.copy(window, 0, base, end)
        fields[0] = state.depth
        fields[1] = state.inString
        fields[2] = state.escaped
        fields[3] = state.start
        fields[4] = state.comma
        fields[8] = state.maxDepth
        fields[9] = state.maxElementBytes
        scan(MARGIN + state.at - base, MARGIN + end - base, MARGIN - base)
        state.depth = fields[0]
        state.inString = fields[1]
        state.escaped = fields[2]
        state.start = fields[3]
        state.comma = fields[4]
        state.event = fields[5]!
        state.at = fields[6]!
        state.seen |= fields[7]!
      } while (state.at < to && state.event === 0)
    }
  }
}
