import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ArrayEngine } from '../../plugins/json-stream/array-engine.ts'
import { byteCases, mutate, runs, suite } from './json-suite.ts'
import { CHUNK_SIZES, rules, runEngine, strictParse, type Outcome } from './run-engine.ts'

const SHAPE = 'FST_SURGE_JSON_SHAPE'

/** Runs at every chunk size, asserts that all agree, and returns what they agree on. */
function run (body: Buffer | string, path: string[] = [], limits = {}): Outcome {
  const whole = runEngine(new ArrayEngine(path, { ...rules, ...limits }), body)
  for (const size of CHUNK_SIZES) {
    const outcome = runEngine(new ArrayEngine(path, { ...rules, ...limits }), body, size)
    assert.deepStrictEqual(outcome, whole, `chunks of ${size}: ${show(body)}`)
  }
  return whole
}

function show (body: Buffer | string): string {
  return JSON.stringify(body.toString('latin1').slice(0, 200))
}

function agree (body: Buffer, path: string[] = []): void {
  const outcome = run(body, path)
  const expected = strictParse(body)
  let target: any = expected.valid ? expected.value : undefined
  for (const key of path) target = target?.[key]
  if (outcome.code === undefined) {
    assert.ok(expected.valid, `accepted, but is not JSON: ${show(body)}`)
    assert.deepStrictEqual(outcome.values, target, show(body))
  } else if (outcome.code === SHAPE) {
    // Garbage before the array may be seen to be no array before it is seen to be no JSON.
    if (expected.valid && Array.isArray(target)) assert.ok(path.length > 0 && /"(data|items)".*"(data|items)"/s.test(body.toString()), `refused: ${show(body)}`)
  } else {
    assert.ok(!expected.valid, `refused with ${outcome.code} at ${outcome.offset}, but is JSON: ${show(body)}`)
    assert.ok(outcome.offset! >= 0 && outcome.offset! <= body.length)
  }
}

const wrappers = [
  (text: Buffer) => text,
  (text: Buffer) => Buffer.concat([Buffer.from('['), text, Buffer.from(']')]),
  (text: Buffer) => Buffer.concat([Buffer.from(' [ 1,'), text, Buffer.from(', "x" ]\n')]),
  (text: Buffer) => Buffer.concat([Buffer.from('[{"a":'), text, Buffer.from('},{"b":['), text, Buffer.from(']}]')])
]
const pathWrappers = [
  (text: Buffer) => Buffer.concat([Buffer.from('{"meta":'), text, Buffer.from(',"data":{"items":[1,2]}}')]),
  (text: Buffer) => Buffer.concat([Buffer.from('{"data":{"x":{"data":{"items":[0]}},"items":['), text, Buffer.from(']},"more":[true]}')]),
  (text: Buffer) => Buffer.concat([Buffer.from('{"data":{"\\u0069tems":[null,'), text, Buffer.from('],"after":'), text, Buffer.from('}}')]),
  (text: Buffer) => Buffer.concat([Buffer.from('{"data":{"items":'), text, Buffer.from('}}')])
]

test('a root array: JSONTestSuite verdicts at every chunk size', () => {
  for (const text of [...suite, ...byteCases]) for (const wrap of wrappers) agree(wrap(text))
})

test('a path: JSONTestSuite verdicts at every chunk size', () => {
  for (const text of [...suite, ...byteCases]) for (const wrap of pathWrappers) agree(wrap(text), ['data', 'items'])
})

const edits = fc.array(fc.tuple(fc.nat(400), fc.nat(3), fc.nat(1000)), { minLength: 1, maxLength: 3 })

test('mutated JSON: verdicts of JSON.parse', () => {
  fc.assert(fc.property(fc.json({ maxDepth: 3 }), edits, fc.nat(3), (json, edits, wrapper) => {
    agree(mutate(wrappers[wrapper]!(Buffer.from(json)), edits))
  }), runs(3000))
  fc.assert(fc.property(fc.json({ maxDepth: 3 }), edits, fc.nat(3), (json, edits, wrapper) => {
    agree(mutate(pathWrappers[wrapper]!(Buffer.from(json)), edits), ['data', 'items'])
  }), runs(2000))
})

/** Records much alike, some of which mislead: nested ones that begin like their parents, brackets in strings. */
function records (seed: number): string {
  const record = (id: number): unknown => {
    const kind = (id * 7 + seed) % 23
    if (kind === 0) return { id, children: [{ id: -1 }, { id: -2 }] }
    if (kind === 1) return { id, text: '},{"id":[[[' }
    if (kind === 2) return [id, [id]]
    return { id, name: `record ${id}`, nested: { list: [kind, null] } }
  }
  return JSON.stringify(Array.from({ length: 400 }, (_, id) => record(id)), null, seed % 3 === 0 ? 1 : 0)
}

const LARGE_CHUNKS = [64, 4096, 5003, 16_384, Infinity]

function runLarge (body: Buffer, limits = {}): Outcome {
  const outcomes = LARGE_CHUNKS.map(size => runEngine(new ArrayEngine([], { ...rules, ...limits }), body, size))
  // deepStrictEqual is slow on thousands of records, and prototypes are not what is asked about here.
  const texts = outcomes.map(outcome => JSON.stringify(outcome))
  assert.deepEqual(texts.map(text => text === texts[0]), texts.map(() => true), JSON.stringify(limits))
  return outcomes[0]!
}

test('large chunks: verdicts of JSON.parse, and the same elements whatever the size', () => {
  for (let seed = 0; seed < 6; seed++) {
    const body = Buffer.from(records(seed))
    assert.deepEqual(runLarge(body).values, JSON.parse(body.toString()))
    for (const limits of [{ maxDepth: 3 }, { maxDepth: 4 }, { maxElementBytes: 40 }, { maxElementBytes: 90 }, { maxItems: 123 }]) runLarge(body, limits)
  }
  fc.assert(fc.property(fc.nat(50), fc.array(fc.tuple(fc.nat(30_000), fc.nat(3), fc.nat(1000)), { minLength: 1, maxLength: 3 }), (seed, edits) => {
    const body = mutate(Buffer.from(records(seed)), edits)
    const outcome = runLarge(body, { maxDepth: 6 })
    const expected = strictParse(body)
    assert.equal(outcome.code === undefined, expected.valid)
  }), runs(150))
})

test('depth that a doubled key or a removed property hides is seen in any chunk', () => {
  const filler = '{"id":1,"text":"some text that fills the chunk"},'.repeat(200)
  const deep = '['.repeat(9) + ']'.repeat(9)
  for (const element of [`{"id":2,"a":${deep},"a":1}`, `{"id":2,"__proto__":${deep}}`, `{"id":2,"a":${deep}}`]) {
    const body = Buffer.from(`[${filler}${element},${filler}1]`)
    const outcome = runLarge(body, { maxDepth: 8, onProtoPoisoning: 'remove' })
    assert.deepEqual([outcome.code, outcome.index], ['FST_SURGE_JSON_TOO_DEEP', 200])
    assert.equal(runLarge(body, { maxDepth: 11, onProtoPoisoning: 'remove' }).values.length, 402)
  }
})

test('arrays of anything come out as they went in', () => {
  fc.assert(fc.property(fc.array(fc.jsonValue()), fc.nat(4), (values, indent) => {
    const body = JSON.stringify(values, null, indent)
    assert.deepStrictEqual(run(body), { values: JSON.parse(body) })
  }), runs(500))
})

test('long strings with runs of backslashes at every length around the jump', () => {
  for (let length = 0; length < 80; length++) {
    for (let escapes = 0; escapes < 4; escapes++) {
      agree(Buffer.from(`["${'a'.repeat(length)}${'\\\\'.repeat(escapes)}",{"b":"${'c'.repeat(length)}\\"${'\\'.repeat(escapes)}", 1]`))
      agree(Buffer.from(`["${'a'.repeat(length)}${'\\\\'.repeat(escapes)}\\"","${'\\\\'.repeat(escapes)}x,]${'y'.repeat(length)}",{"b":[",",1]}]`))
    }
  }
})

test('the elements before a fault are delivered, and the fault has a code, an index and a byte', () => {
  const table: Array<[body: string, outcome: Partial<Outcome>, limits?: object]> = [
    ['[]', { values: [] }],
    [' [ ] ', { values: [] }],
    ['\ufeff[1]', { values: [1] }],
    ['', { values: [], code: 'FST_SURGE_JSON_TRUNCATED', index: 0, offset: 0 }],
    ['[', { values: [], code: 'FST_SURGE_JSON_TRUNCATED', index: 0, offset: 1 }],
    ['[1,2', { values: [1], code: 'FST_SURGE_JSON_TRUNCATED', index: 1, offset: 4 }],
    ['[{"a":1},{"b":"', { values: [{ a: 1 }], code: 'FST_SURGE_JSON_TRUNCATED', index: 1, offset: 15 }],
    ['[1,2,tru]', { values: [1, 2], code: 'FST_SURGE_JSON_INVALID', index: 2, offset: 8 }],
    ['[1,2,nul', { values: [1, 2], code: 'FST_SURGE_JSON_TRUNCATED', index: 2, offset: 8 }],
    ['[1,2,nux', { values: [1, 2], code: 'FST_SURGE_JSON_INVALID', index: 2, offset: 7 }],
    ['[1,]', { values: [1], code: 'FST_SURGE_JSON_INVALID', index: 1, offset: 3 }],
    ['[,1]', { values: [], code: 'FST_SURGE_JSON_INVALID', index: 0, offset: 1 }],
    ['[1,,2]', { values: [1], code: 'FST_SURGE_JSON_INVALID', index: 1, offset: 3 }],
    ['[1}', { values: [], code: 'FST_SURGE_JSON_INVALID', index: 0, offset: 2 }],
    ['[1]]', { values: [1], code: 'FST_SURGE_JSON_INVALID', index: 1, offset: 3 }],
    ['[1]\u00a0', { values: [1], code: 'FST_SURGE_JSON_INVALID', index: 1, offset: 3 }],
    ['{"a":[1]}', { values: [], code: SHAPE, index: 0, offset: 0 }],
    ['[1,[[2]],3]', { values: [1], code: 'FST_SURGE_JSON_TOO_DEEP', index: 1, offset: 4 }, { maxDepth: 2 }],
    ['[1,[2],3]', { values: [1, [2], 3] }, { maxDepth: 2 }],
    ['[1,2,3]', { values: [1, 2], code: 'FST_SURGE_JSON_TOO_MANY_ITEMS', index: 2, offset: 5 }, { maxItems: 2 }],
    ['[1,2]', { values: [1, 2] }, { maxItems: 2 }],
    ['["aaaa","b"]', { values: ['aaaa', 'b'] }, { maxElementBytes: 6 }],
    ['["b","aaaaa","b"]', { values: ['b'], code: 'FST_SURGE_JSON_ELEMENT_TOO_LARGE', index: 1, offset: 11 }, { maxElementBytes: 6 }],
    ['["b","aaaaa', { values: ['b'], code: 'FST_SURGE_JSON_TRUNCATED', index: 1, offset: 11 }, { maxElementBytes: 6 }],
    ['["b",[[[[[[[[[[["x"]]]]]]]]]]]', { values: ['b'], code: 'FST_SURGE_JSON_ELEMENT_TOO_LARGE', index: 1, offset: 11 }, { maxElementBytes: 6, maxDepth: 9 }]
  ]
  for (const [body, outcome, limits] of table) assert.deepStrictEqual(run(body, [], limits), outcome, body)
})

test('an element within its limit is cut the same wherever the limit falls in a chunk', () => {
  for (let limit = 1; limit < 12; limit++) run('[1,"abc",{"a":[1,2]},"\\"\\\\",12345678]', [], { maxElementBytes: limit })
})

test('the path is walked strictly', () => {
  const path = ['data', 'items']
  const table: Array<[body: string, outcome: Partial<Outcome>]> = [
    ['{"data":{"items":[1,2]}}', { values: [1, 2] }],
    ['{"a":{"data":{"items":[0]}},"data":{"b":[[]],"items":[]},"c":"}"}', { values: [] }],
    ['{"data":{"items":{}}}', { values: [], code: SHAPE, index: 0, offset: 17 }],
    ['{"data":[{"items":[1]}]}', { values: [], code: SHAPE, index: 0, offset: 8 }],
    ['{"items":[1]}', { values: [], code: SHAPE, index: 0, offset: 13 }],
    ['[{"data":{"items":[1]}}]', { values: [], code: SHAPE, index: 0, offset: 0 }],
    ['{"data":{"items":[1],"items":[2]}}', { values: [1], code: SHAPE, index: 1, offset: 27 }],
    ['{"data":{"items":[1]},"\\u0064ata":1}', { values: [1], code: SHAPE, index: 1, offset: 32 }],
    ['{"data":{},"data":{"items":[1]}}', { values: [], code: SHAPE, index: 0, offset: 16 }],
    ['{"data":{"items":[1]}', { values: [1], code: 'FST_SURGE_JSON_TRUNCATED', index: 1, offset: 21 }],
    ['{"data":{"items":[1]],', { values: [1], code: 'FST_SURGE_JSON_INVALID', index: 1, offset: 20 }],
    ['{"x":01,"data":{"items":[1]}}', { values: [], code: 'FST_SURGE_JSON_INVALID', index: 0, offset: 6 }]
  ]
  for (const [body, outcome] of table) {
    const actual = run(body, path)
    assert.deepStrictEqual(actual, outcome, body)
  }
})

test('what surrounds the array is bounded, its space is not', () => {
  const body = (size: number) => `{"pad":"${'x'.repeat(size)}",${' '.repeat(200_000)}"items":[1]}`
  assert.deepStrictEqual(run(body(10), ['items']), { values: [1] })
  assert.equal(run(body(70_000), ['items']).code, 'FST_SURGE_JSON_ENVELOPE_TOO_LARGE')
})

test('prototype properties: refused, removed or let through, escaped or not, in the first batch or the last', () => {
  const poisoned = ['{"__proto__":{"a":1},"b":2}', '{"\\u005f_proto__":{"a":1},"b":2}', '{"constructor":{"prototype":{"a":1}},"b":2}', '{"c\\u006fnstructor":{"prototype":{}},"b":2}']
  for (const element of poisoned) {
    const body = `[{"ok":"constructor"},${element},3]`
    const refused = run(body, [], { onProtoPoisoning: 'error', onConstructorPoisoning: 'error' })
    assert.deepStrictEqual(refused, { values: [{ ok: 'constructor' }], code: 'FST_SURGE_JSON_PROTOTYPE', index: 1, offset: 22 })
    const stripped = run(body, [], { onProtoPoisoning: 'remove', onConstructorPoisoning: 'remove' })
    assert.deepStrictEqual(stripped.values, [{ ok: 'constructor' }, { b: 2 }, 3])
    const kept = run(body)
    assert.deepStrictEqual(kept.values, JSON.parse(body))
  }
})

test('prototype properties are seen wherever a chunk ends', () => {
  const plain = JSON.stringify({ text: 'x'.repeat(150), n: 1 })
  for (const name of ['__proto__', '\\u005f_proto__', 'constructor', 'c\\u006fnstructor']) {
    const body = `[${plain},{"a":{"${name}":{"prototype":1}}},${plain},${plain}]`
    for (let size = plain.length; size < plain.length + 60; size++) {
      const outcome = runEngine(new ArrayEngine([], { ...rules, onProtoPoisoning: 'error', onConstructorPoisoning: 'error' }), body, size)
      assert.deepStrictEqual([outcome.values.length, outcome.code], [1, 'FST_SURGE_JSON_PROTOTYPE'], `${name} ${size}`)
    }
  }
})
