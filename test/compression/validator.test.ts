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

test('a string that comes back is hashed twice and then known, whether it is the same or an equal one', () => {
  let calls = 0
  const validator = new Validator(payload => { calls++; return contentHash(payload) })
  const made = (length: number): string => JSON.stringify({ text: 'x'.repeat(length) })
  for (const length of [3, 5_000, 50_000]) {
    calls = 0
    const tag = new Validator().tag(made(length))
    for (let i = 0; i < 5; i++) assert.equal(validator.tag(made(length)), tag)
    assert.equal(calls, 2)
  }
})

test('bodies of one length are told apart, whichever is remembered', () => {
  const validator = new Validator()
  for (const length of [10, 2_000, 20_000]) tellApart(validator, ['a', 'b', 'c'].map(letter => letter.repeat(length)))
})

function tellApart (validator: Validator, bodies: string[]): void {
  for (const order of [[0, 0, 0, 1, 0, 1, 1, 1, 0, 2], [2, 2, 2, 2, 1, 2, 2], [0, 1, 2, 0, 1, 2, 0, 0, 0, 0]]) {
    for (const each of order) assert.equal(validator.tag(bodies[each]!), `"${contentHash(bodies[each]!)}"`)
  }
}

test('remembers a bounded number of characters and of lengths, and no body that came once', () => {
  const validator = new Validator()
  for (let i = 0; i < 3_000; i++) validator.tag('x'.repeat(i))
  assert.equal(validator.size, 0)
  for (let i = 0; i < 3_000; i++) {
    const body = 'x'.repeat(10_000 + i)
    for (let use = 0; use < 3; use++) validator.tag(body)
    assert.ok(validator.size <= 4 * 1024 * 1024, `${validator.size}`)
  }
  assert.ok(validator.size > 0)
  const large = 'x'.repeat(2 * 1024 * 1024)
  const before = validator.size
  for (let use = 0; use < 3; use++) assert.equal(validator.tag(large), `"${contentHash(large)}"`)
  assert.equal(validator.size, before)
})

test('an algorithm is the digest that @fastify/etag makes with it', () => {
  assert.equal(hashFnOf('sha1')('hello'), createHash('sha1').update('hello').digest('base64'))
  assert.throws(() => hashFnOf('sha0815'))
})
