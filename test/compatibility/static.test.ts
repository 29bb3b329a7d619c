import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import fastifyStatic, { type FastifyStaticOptions } from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { RawClient } from '../support/raw-http.ts'
import { atRest, closesByItself, complaints, serveBeside } from './beside.ts'

const TEXT = 'body { color: red }\n'.repeat(500)
let root: string

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'surge-static-'))
  await writeFile(join(root, 'style.css'), TEXT)
  await writeFile(join(root, 'built.css'), TEXT)
  await writeFile(join(root, 'built.css.gz'), gzipSync(TEXT, { level: 9 }))
  await writeFile(join(root, 'large.bin'), Buffer.alloc(20_000_000))
})
after(() => rm(root, { recursive: true }))

function files (options: Partial<FastifyStaticOptions> = {}) {
  return async (app: FastifyInstance) => { await app.register(fastifyStatic, { root, maxAge: 60_000, ...options }) }
}

async function get (port: number, path: string, headers: http.OutgoingHttpHeaders = {}, method = 'GET') {
  const request = http.request({ port, host: '127.0.0.1', path, headers, method, agent: false }).end()
  const [reply] = await once(request, 'response') as [http.IncomingMessage]
  return { status: reply.statusCode, headers: reply.headers, body: await buffer(reply) }
}

test('a file keeps the tag, the date and the Cache-Control of @fastify/static, plain and encoded', async t => {
  const { app, port, lines } = await serveBeside(t, { behind: files() })
  const plain = await get(port, '/style.css')
  const encoded = await get(port, '/style.css', { 'accept-encoding': 'gzip' })
  assert.deepEqual([plain.status, plain.headers['content-encoding'], plain.body.toString()], [200, undefined, TEXT])
  assert.deepEqual([encoded.status, encoded.headers['content-encoding'], gunzipSync(encoded.body).toString()], [200, 'gzip', TEXT])
  assert.match(plain.headers.etag!, /^W\//)
  for (const name of ['etag', 'last-modified', 'cache-control', 'vary']) assert.equal(encoded.headers[name], plain.headers[name], name)
  assert.deepEqual([plain.headers['cache-control'], plain.headers.vary], ['public, max-age=60', 'accept-encoding'])
  const head = await get(port, '/style.css', { 'accept-encoding': 'gzip' }, 'HEAD')
  assert.deepEqual([head.headers['content-encoding'], head.headers.etag, head.body.length], ['gzip', plain.headers.etag, 0])
  await atRest(app)
  assert.deepEqual(complaints(lines), [])
})

test('304 by tag and by date, whichever of the two codings the client holds', async t => {
  const { app, port } = await serveBeside(t, { behind: files() })
  const { headers } = await get(port, '/style.css', { 'accept-encoding': 'gzip' })
  for (const condition of [{ 'if-none-match': headers.etag! }, { 'if-none-match': `"other", ${headers.etag}`, 'accept-encoding': 'gzip' }, { 'if-modified-since': headers['last-modified']! }]) {
    const known = await get(port, '/style.css', condition)
    assert.deepEqual([known.status, known.body.length, known.headers.etag, known.headers.vary, known.headers['cache-control']], [304, 0, headers.etag, 'accept-encoding', 'public, max-age=60'])
    assert.equal(known.headers['content-length'], undefined)
  }
  await atRest(app)
})

test('a range is one of plain bytes, so an encoded reply does not offer ranges', async t => {
  const { port } = await serveBeside(t, { behind: files() })
  const range = await get(port, '/style.css', { range: 'bytes=0-3', 'accept-encoding': 'gzip' })
  assert.deepEqual([range.status, range.headers['content-range'], range.headers['content-encoding'], range.body.toString()], [206, `bytes 0-3/${TEXT.length}`, undefined, 'body'])
  assert.equal((await get(port, '/style.css')).headers['accept-ranges'], 'bytes')
  for (const method of ['GET', 'HEAD']) {
    const encoded = await get(port, '/style.css', { 'accept-encoding': 'gzip' }, method)
    assert.deepEqual([encoded.headers['content-encoding'], encoded.headers['accept-ranges']], ['gzip', undefined])
  }
})

test('a file that was compressed beforehand passes as it is', async t => {
  const { port } = await serveBeside(t, { behind: files({ preCompressed: true }) })
  const built = await get(port, '/built.css', { 'accept-encoding': 'gzip' })
  assert.deepEqual([built.headers['content-encoding'], built.headers.vary], ['gzip', 'accept-encoding'])
  assert.deepEqual(built.body, gzipSync(TEXT, { level: 9 }))
  assert.equal((await get(port, '/built.css')).body.toString(), TEXT)
})

test('reply.sendFile() on a route of the app, and a file that is not there', async t => {
  const { app, port } = await serveBeside(t, {
    behind: async app => {
      await app.register(fastifyStatic, { root, serve: false })
      app.get('/theme', (_request, reply) => reply.sendFile('style.css'))
      app.get('/lost', (_request, reply) => reply.sendFile('lost.css'))
    }
  })
  assert.equal((await get(port, '/theme')).body.toString(), TEXT)
  assert.equal((await get(port, '/lost')).status, 404)
  await atRest(app)
})

test('a download that is broken off gives its slot back, one that is under way when close() comes arrives whole', async t => {
  const { app, port } = await serveBeside(t, { behind: files() })
  const broken = (await RawClient.connect(port)).get('/large.bin')
  await broken.until(received => received.length > 0)
  broken.socket.pause()
  assert.equal(app.concurrency.stats().inflight, 1)
  broken.reset()
  await atRest(app)

  const request = http.get({ port, host: '127.0.0.1', path: '/large.bin' })
  const [reply] = await once(request, 'response') as [http.IncomingMessage]
  const closed = closesByItself(app)
  assert.equal((await buffer(reply)).length, 20_000_000)
  await closed
})
