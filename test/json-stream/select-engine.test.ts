import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SelectEngine } from '../../plugins/json-stream/select-engine.ts'
import type { SelectAs } from '../../plugins/json-stream/selector.ts'
import { byteCases, mutate, runs, suite } from './json-suite.ts'
import { CHUNK_SIZES, rules, runEngine, strictParse, type Outcome } from './run-engine.ts'

function run (body: Buffer | string, match: string | RegExp, as: SelectAs = 'values', limits = {}): Outcome {
  // stream-json's own depth limit is a call stack away from ours in these tests.
  const all = { ...rules, ...limits }
  const whole = runEngine(new SelectEngine({ match, as }, all), body)
  for (const size of CHUNK_SIZES) {
    const outcome = runEngine(new SelectEngine({ match, as }, all), body, size)
    // Faults that tokens show have no exact byte.
    if (outcome.code !== undefined && outcome.offset !== whole.offset && /LARGE|MANY|SHAPE|PROTO/.test(outcome.code)) outcome.offset = whole.offset
    assert.deepStrictEqual(outcome, whole, `chunks of ${size}: ${body.toString('latin1').slice(0, 200)}`)
  }
  return whole
}

function agree (body: Buffer): void {
  const outcome = run(body, '*')
  const expected = strictParse(body)
  assert.equal(outcome.code === undefined, expected.valid, body.toString('latin1').slice(0, 200))
  if (expected.valid && Array.isArray(expected.value)) assert.deepStrictEqual(outcome.values, expected.value)
}

test('JSONTestSuite verdicts at every chunk size', () => {
  for (const text of [...suite, ...byteCases]) {
    if (text.length > 10_000) continue
    agree(text)
    agree(Buffer.concat([Buffer.from('[{"a":'), text, Buffer.from('},2]')]))
  }
})

test('mutated JSON: verdicts of JSON.parse', () => {
  fc.assert(fc.property(fc.json({ maxDepth: 3 }), fc.array(fc.tuple(fc.nat(400), fc.nat(3), fc.nat(1000)), { maxLength: 3 }), (json, edits) => {
    agree(mutate(Buffer.from(`[${json},1]`), edits))
  }), runs(1000))
})

test('wildcards, regular expressions, several matches, elements and entries', () => {
  const body = JSON.stringify({
    shops: { a: { items: [1, { x: 2 }], name: 'A' }, b: { items: [], name: 'B' }, 'c.items': [9], c: { items: [3] } },
    users: { ann: { age: 1 }, bob: null }
  })
  assert.deepStrictEqual(run(body, 'shops.*.name').values, ['A', 'B'])
  assert.deepStrictEqual(run(body, 'shops.*.items').values, [[1, { x: 2 }], [], [3]])
  assert.deepStrictEqual(run(body, 'shops.*.items', 'elements').values, [1, { x: 2 }, 3])
  assert.deepStrictEqual(run(body, 'shops.*.items.*').values, [1, { x: 2 }, 3])
  assert.deepStrictEqual(run(body, /^shops\.[ab]\.items\.\d+$/).values, [1, { x: 2 }])
  assert.deepStrictEqual(run(body, 'users', 'entries').values, [{ key: 'ann', value: { age: 1 } }, { key: 'bob', value: null }])
  assert.deepStrictEqual(run(body, 'nothing').values, [])
  assert.equal(run(body, 'shops.*', 'elements').code, 'FST_SURGE_JSON_SHAPE')
  assert.equal(run(body, 'shops.*.items', 'entries').code, 'FST_SURGE_JSON_SHAPE')
})

test('limits hold inside and outside of what is selected', () => {
  const large = 'x'.repeat(100)
  const element = (size: number) => JSON.stringify({ a: [{ s: 'y'.repeat(size) }], skipped: 'z' })
  assert.equal(run(element(50), 'a.*', 'values', { maxElementBytes: 60 }).values.length, 1)
  assert.equal(run(element(70), 'a.*', 'values', { maxElementBytes: 60 }).code, 'FST_SURGE_JSON_ELEMENT_TOO_LARGE')
  assert.equal(run(`{"skipped":"${large}","a":[1]}`, 'a.*', 'values', { maxElementBytes: 60 }).code, 'FST_SURGE_JSON_ELEMENT_TOO_LARGE')
  assert.equal(run(`{"a":[1,${'9'.repeat(70)}]}`, 'a.*', 'values', { maxElementBytes: 60 }).code, 'FST_SURGE_JSON_ELEMENT_TOO_LARGE')
  assert.deepStrictEqual(run(`{"a":[0,[${'1,'.repeat(60)}1]]}`, 'a.*', 'values', { maxElementBytes: 60 }), { values: [0], code: 'FST_SURGE_JSON_ELEMENT_TOO_LARGE', index: 1, offset: 0 })
  assert.deepStrictEqual(run('{"a":[0,[[[1]]]]}', 'a.*', 'values', { maxDepth: 4 }), { values: [0], code: 'FST_SURGE_JSON_TOO_DEEP', index: 1, offset: 10 })
  assert.equal(run('[1,2,3]', '*', 'values', { maxItems: 2 }).code, 'FST_SURGE_JSON_TOO_MANY_ITEMS')
  // stream-json took 1.2 s over 2 MB of these; the depth limit ends them at the 65th byte.
  assert.equal(runEngine(new SelectEngine({ match: '*', as: 'values' }, { ...rules, maxDepth: 64 }), '['.repeat(2_000_000), 65_536).offset, 64)
})

test('prototype properties of what is selected, an entry\'s own key included', () => {
  const refuse = { onProtoPoisoning: 'error', onConstructorPoisoning: 'error' }
  const strip = { onProtoPoisoning: 'remove', onConstructorPoisoning: 'remove' }
  const body = '{"a":[{"x":1},{"\\u005f_proto__":{"y":1},"z":2},{"constructor":{"prototype":1},"z":3}]}'
  assert.deepStrictEqual(run(body, 'a.*', 'values', refuse).values, [{ x: 1 }])
  assert.equal(run(body, 'a.*', 'values', refuse).code, 'FST_SURGE_JSON_PROTOTYPE')
  assert.deepStrictEqual(run(body, 'a.*', 'values', strip).values, [{ x: 1 }, { z: 2 }, { z: 3 }])
  assert.deepStrictEqual(run(body, 'a.*').values, JSON.parse(body).a)
  const entries = '{"u":{"x":1,"__proto__":{"y":1},"constructor":"fine","z":2}}'
  assert.equal(run(entries, 'u', 'entries', refuse).code, 'FST_SURGE_JSON_PROTOTYPE')
  assert.deepStrictEqual(run(entries, 'u', 'entries', strip).values, [{ key: 'x', value: 1 }, { key: 'constructor', value: 'fine' }, { key: 'z', value: 2 }])
})
