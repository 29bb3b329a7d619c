import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assemble } from '../../scripts/structure-wasm.ts'
import { WASM } from '../../plugins/json-stream/structure-wasm.ts'
import { vectors } from '../../plugins/json-stream/structure-simd.ts'
import { CLOSED, GOES_ON, NOT_ASCII, scanBytes, STRAY, structure, SUSPECT, TOO_DEEP, TOO_LARGE, type Structure } from '../../plugins/json-stream/structure.ts'
import { byteCases, mutate, runs, suite } from './json-suite.ts'

const scanVectors = vectors!.scan

type Scan = (state: Structure, bytes: Buffer, to: number) => void

/** Scans in pieces of these sizes, the last one for the rest. */
function scanned (scan: Scan, bytes: Buffer, pieces: number[] = [], maxDepth = 1000, maxElementBytes = 1e6): Structure {
  const state = structure(maxDepth, maxElementBytes)
  let end = 0
  for (const piece of [...pieces, Infinity]) {
    end = Math.min(bytes.length, end + piece)
    if (end > state.at && state.event === GOES_ON) scan(state, bytes, end)
  }
  return state
}

function same (bytes: Buffer, pieces: number[], maxDepth?: number, maxElementBytes?: number): void {
  const expected = scanned(scanBytes, bytes, pieces, maxDepth, maxElementBytes)
  const actual = scanned(scanVectors, bytes, pieces, maxDepth, maxElementBytes)
  // After an event nothing goes on, so what a string would need to is not kept exactly.
  if (expected.event !== GOES_ON) actual.inString = expected.inString = actual.escaped = expected.escaped = 0
  // The loop does not look for these.
  expected.seen = actual.seen
  assert.deepEqual(actual, expected, JSON.stringify(bytes.toString('latin1').slice(0, 300)))
}

test('this Node has the vectors, and the module is what its text says', async () => {
  assert.notEqual(vectors, undefined)
  assert.equal(await assemble(), WASM)
})

test('vectors see what a loop over bytes sees, in pieces of any size', () => {
  for (const text of [...suite, ...byteCases]) {
    for (const pieces of [[], [1], [63, 64], Array(50).fill(7)]) same(Buffer.concat([text, Buffer.from(',"x"]')]), pieces)
  }
  const text = fc.oneof(fc.json({ maxDepth: 4 }), fc.array(fc.constantFrom('"', '\\', '[', '{', '}', ']', ',', 'a', '  ', '\\"', '"a"', '{},'), { maxLength: 300 }).map(parts => parts.join('')))
  const edits = fc.array(fc.tuple(fc.nat(400), fc.nat(3), fc.nat(1000)), { maxLength: 3 })
  fc.assert(fc.property(text, edits, fc.array(fc.integer({ min: 1, max: 150 }), { maxLength: 5 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 100 }), (text, edits, pieces, maxDepth, maxElementBytes) => {
    const bytes = mutate(Buffer.from(text), edits)
    same(bytes, pieces)
    same(bytes, pieces, maxDepth, maxElementBytes)
  }), runs(5000))
})

test('runs of backslashes at every place of a block, and over the end of a piece', () => {
  for (let before = 0; before < 130; before++) {
    for (let run = 0; run < 6; run++) {
      const bytes = Buffer.from(`"${'a'.repeat(before)}${'\\'.repeat(run)}",[1],"b"`)
      same(bytes, [])
      for (const cut of [before, before + 1, before + 2, before + run]) same(bytes, [cut])
    }
  }
  const long = Buffer.from(`"${'\\\\'.repeat(50_000)}\\"",1`)
  for (const pieces of [[], [65_535], [65_536], [65_537]]) same(long, pieces)
  assert.equal(scanned(scanVectors, long).comma, long.length - 2)
})

test('what is not ASCII and names that may be forbidden are seen at every place of a block, and over the end of a piece', () => {
  const table: Array<[text: string, seen: number]> = [
    ['"__proto__"', SUSPECT], ['"constructor"', SUSPECT], ['"\\u005f_proto__"', SUSPECT], ['"\\\\\\u0063"', SUSPECT], ['"é"', NOT_ASCII], ['"__proto__ é"', NOT_ASCII],
    ['"construction"', 0], ['"__proto"', 0], ['__proto__', 0], ['"\\\\u005f"', 0], ['"c":"onstruc"', 0]
  ]
  for (const [text, seen] of table) {
    for (let before = 0; before < 130; before++) {
      const head = `"${'a'.repeat(before)}",`
      const bytes = Buffer.from(`${head}${text},"${'b'.repeat(100)}"`)
      for (let cut = head.length; cut <= head.length + Buffer.byteLength(text); cut++) {
        const state = structure(9, 1e6)
        scanVectors(state, bytes, cut)
        const first = state.seen
        scanVectors(state, bytes, bytes.length)
        assert.equal(first | state.seen, seen, `${before} ${cut} ${text}`)
      }
    }
  }
})

test('where a scan stops, and why', () => {
  const table: Array<[text: string, outcome: Partial<Structure>, maxDepth?: number, maxElementBytes?: number]> = [
    ['1,{"a":[2,3]},', { event: GOES_ON, comma: 13, start: 14, at: 14, depth: 1 }],
    ['1,"],",2]', { event: CLOSED, comma: 6, at: 9, depth: 0 }],
    ['1}', { event: CLOSED, at: 2 }],
    ['1,[[2', { event: TOO_DEEP, comma: 1, at: 4 }, 2],
    ['1,[2],3', { event: GOES_ON, comma: 5 }, 2],
    ['"abc",1', { event: TOO_LARGE, comma: -1, at: 6 }, 9, 4],
    ['"abc",1', { event: GOES_ON, comma: 5 }, 9, 5],
    ['1,2\\",[', { event: STRAY, comma: 1, at: 4 }],
    ['"a\\', { event: GOES_ON, inString: -1, escaped: 1, at: 3 }]
  ]
  for (const [text, outcome, maxDepth, maxElementBytes] of table) {
    for (const scan of [scanBytes, scanVectors]) {
      const state = scanned(scan, Buffer.from(text), [], maxDepth, maxElementBytes)
      assert.deepEqual({ ...state, ...outcome }, state, text)
    }
  }
})
