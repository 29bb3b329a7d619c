import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LinesEngine } from '../../plugins/json-stream/lines-engine.ts'
import { byteCases, mutate, runs, suite } from './json-suite.ts'
import { CHUNK_SIZES, rules, runEngine, strictParse, type Outcome } from './run-engine.ts'

function run (body: Buffer | string, limits = {}): Outcome {
  const whole = runEngine(new LinesEngine({ ...rules, ...limits }), body)
  for (const size of CHUNK_SIZES) {
    assert.deepStrictEqual(runEngine(new LinesEngine({ ...rules, ...limits }), body, size), whole, `chunks of ${size}: ${body.toString('latin1').slice(0, 200)}`)
  }
  return whole
}

/** What a reader that knows nothing of chunks says: each line by itself, blank ones skipped. */
function expected (body: Buffer): { values: unknown[], ok: boolean } {
  const marked = body.subarray(0, 3).equals(Buffer.from('\ufeff'))
  const lines = (marked ? body.subarray(3) : body).toString('latin1').split('\n')
  const values: unknown[] = []
  for (const line of lines) {
    if (/^[ \t\r]*$/.test(line)) continue
    const verdict = line.startsWith('\xef\xbb\xbf') ? { valid: false } as const : strictParse(Buffer.from(line, 'latin1'))
    if (!verdict.valid) return { values, ok: false }
    values.push(verdict.value)
  }
  return { values, ok: true }
}

function agree (body: Buffer): void {
  const outcome = run(body)
  const { values, ok } = expected(body)
  assert.deepStrictEqual(outcome.values, values)
  assert.equal(outcome.code === undefined, ok, body.toString('latin1').slice(0, 200))
}

test('JSONTestSuite verdicts, each text a line among others, at every chunk size', () => {
  for (const text of [...suite, ...byteCases]) {
    agree(text)
    agree(Buffer.concat([Buffer.from('{"a":1}\r\n\n'), text, Buffer.from('\n[2]\n')]))
  }
})

test('mutated lines: the verdict of a parser that takes each by itself', () => {
  fc.assert(fc.property(fc.array(fc.json({ maxDepth: 2 }), { maxLength: 4 }), fc.array(fc.tuple(fc.nat(400), fc.nat(3), fc.nat(1000)), { maxLength: 3 }), (lines, edits) => {
    agree(mutate(Buffer.from(lines.join('\n')), edits))
  }), runs(2000))
})

test('lines that would make an array if they were joined by commas are refused', () => {
  assert.deepStrictEqual(run('1,2\n[3\n4]\n'), { values: [], code: 'FST_SURGE_JSON_INVALID', index: 0, offset: 1 })
})

test('faults have a code, an index and a byte', () => {
  const table: Array<[body: string, outcome: Partial<Outcome>, limits?: object]> = [
    ['', { values: [] }],
    ['\n \r\n', { values: [] }],
    ['1\n2', { values: [1, 2] }],
    ['1\n{"a":', { values: [1], code: 'FST_SURGE_JSON_TRUNCATED', index: 1, offset: 7 }],
    ['1\n{"a":\n2', { values: [1], code: 'FST_SURGE_JSON_INVALID', index: 1, offset: 7 }],
    ['1\n{"a":x', { values: [1], code: 'FST_SURGE_JSON_INVALID', index: 1, offset: 7 }],
    ['1\n[[[2]]]\n3', { values: [1], code: 'FST_SURGE_JSON_TOO_DEEP', index: 1, offset: 4 }, { maxDepth: 2 }],
    ['1\n[[[2]]]', { values: [1], code: 'FST_SURGE_JSON_TOO_DEEP', index: 1, offset: 4 }, { maxDepth: 2 }],
    ['1\n["[[["]\n3', { values: [1, ['[[['], 3] }, { maxDepth: 2 }],
    ['1\n\n2\n3', { values: [1, 2], code: 'FST_SURGE_JSON_TOO_MANY_ITEMS', index: 2, offset: 5 }, { maxItems: 2 }],
    ['1\n"aaaa"\n', { values: [1, 'aaaa'] }, { maxElementBytes: 6 }],
    ['1\n"aaaaa"\n', { values: [1], code: 'FST_SURGE_JSON_ELEMENT_TOO_LARGE', index: 1, offset: 8 }, { maxElementBytes: 6 }],
    ['1\n"aaaaa', { values: [1], code: 'FST_SURGE_JSON_TRUNCATED', index: 1, offset: 8 }, { maxElementBytes: 6 }],
    ['1\n{"__proto__":1}\n', { values: [1], code: 'FST_SURGE_JSON_PROTOTYPE', index: 1, offset: 2 }, { onProtoPoisoning: 'error' }]
  ]
  for (const [body, outcome, limits] of table) assert.deepStrictEqual(run(body, limits), outcome, body)
})

test('depth that a doubled key hides is seen in any chunk', () => {
  const deep = '['.repeat(9) + ']'.repeat(9)
  const body = `{"a":1}\n{"a":${deep},"a":1}\n{"a":2}\n`
  assert.deepStrictEqual(run(body, { maxDepth: 8 }), { values: [{ a: 1 }], code: 'FST_SURGE_JSON_TOO_DEEP', index: 1, offset: 20 })
  assert.deepStrictEqual(run(body, { maxDepth: 10 }).values, [{ a: 1 }, { a: 1 }, { a: 2 }])
})

test('a line of a megabyte in one-byte chunks is scanned once, not once a byte', () => {
  const body = Buffer.from(JSON.stringify('x'.repeat(300_000)) + '\n')
  assert.equal(runEngine(new LinesEngine({ ...rules, maxDepth: 8 }), body, 1).values.length, 1)
})
