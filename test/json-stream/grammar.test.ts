import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { JsonGrammar, TOKEN_TOO_LONG, TOO_DEEP } from '../../plugins/json-stream/grammar.ts'
import { byteCases, mutate, runs, suite } from './json-suite.ts'
import { strictParse } from './run-engine.ts'

function accepts (bytes: Buffer): boolean {
  const grammar = new JsonGrammar()
  return grammar.push(bytes, 0, bytes.length) === bytes.length && grammar.complete
}

test('JSONTestSuite and byte cases: the verdict of a strict JSON.parse', () => {
  for (const text of [...suite, ...byteCases]) {
    // The byte order mark is not the grammar's business.
    const marked = text.subarray(0, 3).equals(Buffer.from('\ufeff'))
    assert.equal(accepts(marked ? text.subarray(3) : text), strictParse(text).valid, JSON.stringify(text.toString('latin1').slice(0, 200)))
  }
})

test('mutations: the verdict of a strict JSON.parse', () => {
  fc.assert(fc.property(fc.json(), fc.array(fc.tuple(fc.nat(400), fc.nat(3), fc.nat(1000)), { maxLength: 3 }), (json, edits) => {
    const text = mutate(Buffer.from(json), edits)
    if (text[0] === 0xef) return
    assert.equal(accepts(text), strictParse(text).valid)
  }), runs(10_000))
})

test('depth and token length end it at the exact byte', () => {
  const deep = new JsonGrammar(2)
  assert.equal(deep.push(Buffer.from('[{"a":[1]}]'), 0, 11), 6)
  assert.equal(deep.verdict, TOO_DEEP)
  for (const text of ['["abcdef"]', '[1234567]', '{"abcdef":1}']) {
    const long = new JsonGrammar(9, 6)
    assert.equal(long.push(Buffer.from(text), 0, text.length), 7, text)
    assert.equal(long.verdict, TOKEN_TOO_LONG)
  }
})
