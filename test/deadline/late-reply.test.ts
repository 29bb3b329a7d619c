import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { discard } from '../../plugins/deadline/late-reply.ts'

test('a stream that nobody reads is destroyed, even one that fails at it', async () => {
  const stream = new Readable({ read () {}, destroy (_error, done) { done(new Error('while it closed')) } })
  discard(stream)
  assert.equal(stream.destroyed, true)
  await new Promise(resolve => stream.once('close', resolve))
})

test('a web stream and the body of a Response are cancelled', async () => {
  for (const wrap of [(stream: ReadableStream) => stream, (stream: ReadableStream) => new Response(stream)]) {
    let cancelled = false
    discard(wrap(new ReadableStream({ cancel () { cancelled = true } })))
    assert.equal(cancelled, true)
  }
})

test('a locked web stream belongs to its reader', async () => {
  let cancelled = false
  const stream = new ReadableStream({ cancel () { cancelled = true } })
  stream.getReader()
  discard(stream)
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(cancelled, false)
})

test('anything else is left alone', () => {
  for (const payload of [undefined, null, 'text', 7, {}, Buffer.from('x'), { pipe: true }, { body: 'x' }]) assert.doesNotThrow(() => discard(payload))
  const destroyed = { destroy () { assert.fail('is no stream') } }
  discard(destroyed)
})
