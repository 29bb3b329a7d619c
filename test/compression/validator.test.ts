import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { contentHash, hashFnOf, Validator } from '../../plugins/compression/validator.ts'

test('the same bytes have the same tag, as a string or a Buffer, remembered or not', () => {
  for (const body of ['', 'héllo', 'x'.repeat(256), 'x'.repeat(257), 'é'.repeat(5000)]) {
    const validator = new Validator()
    const tag = validator.tag(body)
    assert.equal(validator.tag(body), tag)
    assert.equal(validator.tag(Buffer.from(body)), tag)
    assert.equal(new Validator().tag(body), tag)
    assert.match(tag, /^"[\w-]{22}"$/)
  }
})

test('one byte more is another tag', () => {
  assert.notEqual(contentHash('a'), contentHash('a\n'))
})

test('a short body is hashed once, a long one each time', () => {
  let calls = 0
  const validator = new Validator(payload => { calls++; return `${payload.length}` })
  validator.tag('short')
  validator.tag('short')
  assert.equal(calls, 1)
  validator.tag('l'.repeat(5000))
  validator.tag('l'.repeat(5000))
  assert.equal(calls, 3)
})

test('remembers a bounded number of bodies, those in use among them', () => {
  let calls = 0
  const validator = new Validator(payload => { calls++; return contentHash(payload) })
  validator.tag('in use')
  for (let i = 0; i < 10_000; i++) {
    validator.tag(`body ${i}`)
    if (i % 100 === 0) validator.tag('in use')
  }
  assert.ok(validator.size <= 1024, `${validator.size}`)
  assert.equal(calls, 10_001, 'a body that comes back within a generation is not hashed again')
})

test('an algorithm is the digest that @fastify/etag makes with it', () => {
  assert.equal(hashFnOf('sha1')('hello'), createHash('sha1').update('hello').digest('base64'))
  assert.throws(() => hashFnOf('sha0815'))
})
