// What the caches between us and the client rely on: the cases of http-tests/cache-tests that an origin answers for.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import { test, type TestContext } from 'node:test'
import Fastify from 'fastify'
import compression from '../../plugins/compression/index.ts'
import { listen } from '../support/raw-http.ts'

const TEXT = 'all work and no play makes Jack a dull boy. '.repeat(60)
const MODIFIED = 'Sun, 06 Nov 1994 08:49:37 GMT'
const gzip = { 'accept-encoding': 'gzip' }

type Get = (headers?: Record<string, string>, method?: string) => Promise<IncomingMessage>

/** One resource, with the fields that the app gives it. */
async function origin (t: TestContext, fields: Record<string, string>): Promise<Get> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(compression)
  app.get('/', (_request, reply) => { reply.headers({ 'content-type': 'text/plain', ...fields }).send(TEXT) })
  const port = await listen(app)
  return async (headers = {}, method = 'GET') => {
    const request = http.request({ port, method, headers, agent: false })
    request.end()
    const [reply] = await once(request, 'response') as [IncomingMessage]
    reply.resume()
    await once(reply, 'end')
    return reply
  }
}

test('a 304 carries what a cache updates its entry by, and nothing that describes a body', async t => {
  const kept = { 'cache-control': 'public, max-age=60', 'content-location': '/en', expires: MODIFIED, 'last-modified': MODIFIED, vary: 'Accept-Language', 'x-own': 'a' }
  const get = await origin(t, { ...kept, etag: '"v1"' })
  for (const [accept, tag] of [[gzip, 'W/"v1"'], [{}, '"v1"']] as const) {
    const full = await get(accept)
    const same = await get({ ...accept, 'if-none-match': full.headers.etag! })
    assert.equal(same.statusCode, 304)
    assert.equal(same.headers.etag, tag)
    for (const name of Object.keys(kept)) assert.equal(same.headers[name], full.headers[name], name)
    assert.equal(same.headers.vary, 'Accept-Language, accept-encoding')
    assert.ok(same.headers.date)
    for (const name of ['content-type', 'content-length', 'content-encoding', 'transfer-encoding']) assert.equal(same.headers[name], undefined, name)
    const head = await get(accept, 'HEAD')
    assert.deepEqual({ ...head.headers, date: '' }, { ...full.headers, date: '' })
  }
})

test('a tag is found wherever it stands in the list, and read as it was sent', async t => {
  const cases: Array<[tag: string, list: string, status: number]> = [
    ['"abcdef"', '"abcdef", "1234", "5678"', 304],
    ['"abcdef"', '"1234", "abcdef", "5678"', 304],
    ['"abcdef"', '"1234", "5678", "abcdef"', 304],
    ['"abcdef"', '"1234","5678","abcdef"', 304],
    ['"abcdef"', '"1234, abcdef"', 200],
    ['"a,b"', '"x", "a,b"', 304],
    ['"abcdef\u00fc"', '"abcdef\u00fc"', 304],
    ['W/"abcdef"', 'W/"abcdef"', 304],
    ['W/"abcdef"', '"abcdef"', 304],
    ['"abcdef"', 'abcdef', 200],
    // Against the grammar, and sent back as they came.
    ['abcdef', 'abcdef', 304],
    ['abcdef', '"abcdef"', 200],
    ['w/"abcdef"', 'w/"abcdef"', 304],
    ['W"abcdef"', 'W"abcdef"', 304]
  ]
  for (const [tag, list, status] of cases) {
    const get = await origin(t, { etag: tag })
    const reply = await get({ 'if-none-match': list })
    assert.equal(reply.statusCode, status, `${tag} in ${list}`)
    assert.equal(reply.headers.etag, tag)
  }
})

test('If-None-Match decides where a date says otherwise, and a range of what has none is the whole', async t => {
  const get = await origin(t, { etag: '"v1"', 'last-modified': MODIFIED })
  const older = 'Sat, 05 Nov 1994 08:49:37 GMT'
  assert.equal((await get({ 'if-none-match': '"v1"', 'if-modified-since': older })).statusCode, 304)
  assert.equal((await get({ 'if-none-match': '"v2"', 'if-modified-since': MODIFIED })).statusCode, 200)
  const range = await get({ ...gzip, range: 'bytes=0-9', 'if-range': '"v1"' })
  assert.equal(range.statusCode, 200)
  assert.equal(range.headers['content-range'], undefined)
})
