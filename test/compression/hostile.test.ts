// What an app or a client may hand over by mistake or on purpose: fields of odd types, fields that Node refuses, lists
// without end. Whatever it is, the process lives, and the reply is the one that Fastify alone would have made.
import assert from 'node:assert/strict'
import http2 from 'node:http2'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import zlib from 'node:zlib'
import Fastify, { type FastifyInstance } from 'fastify'
import compression, { type CompressionOptions } from '../../plugins/compression/index.ts'
import { listen, RawClient } from '../support/raw-http.ts'

const MEDIUM = 'all work and no play makes Jack a dull boy. '.repeat(60)
/** Above `syncThreshold`: it is encoded on libuv's threads. */
const LARGE = MEDIUM.repeat(40)
const gzip = { 'accept-encoding': 'gzip' }

/** The whole reply, head and body, over a connection of its own. */
async function raw (port: number, path: string, fields: string): Promise<string> {
  const client = (await RawClient.connect(port)).send(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n${fields}\r\n\r\n`, 'latin1'))
  await client.closed
  return client.received.toString('latin1')
}

async function make (options: CompressionOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(compression, options)
  return app
}

test('a field that Node refuses fails its own reply, also behind libuv\'s threads, and not those that wait with it', async t => {
  const app = await make()
  t.after(() => app.close())
  app.get('/:size', (request, reply) => {
    const { size } = request.params as { size: string }
    if ('bad' in (request.query as object)) reply.header('x-bad', 'a\nb')
    reply.type('text/plain').send(size === 'large' ? LARGE : MEDIUM)
  })
  const port = await listen(app)
  for (const size of ['medium', 'large']) {
    const get = (query: string): Promise<string> => raw(port, `/${size}${query}`, 'Accept-Encoding: gzip')
    const [bad, good, alsoBad, alsoGood] = await Promise.all([get('?bad'), get(''), get('?bad'), get('')])
    for (const reply of [bad, alsoBad]) assert.match(reply!, /^HTTP\/1\.1 500 /, size)
    for (const reply of [good, alsoGood]) assert.match(reply!, /^HTTP\/1\.1 200 OK\r\n[^]*content-encoding: gzip/, size)
  }
})

test("a tag of the app's that is a number or a list is what Fastify sends of it", async () => {
  const app = await make()
  app.get('/number', (_request, reply) => { reply.header('etag', 123).type('text/plain').send(MEDIUM) })
  app.get('/list', (_request, reply) => { reply.header('etag', ['"a"', '"b"']).type('text/plain').send(MEDIUM) })
  for (const [url, plain] of [['/number', '123'], ['/list', '"a"']] as const) {
    for (const headers of [gzip, {}]) {
      const reply = await app.inject({ url, headers })
      assert.equal(reply.statusCode, 200, url)
      assert.equal(reply.headers.etag, headers === gzip ? `W/${plain}` : plain)
      assert.equal((await app.inject({ url, headers: { ...headers, 'if-none-match': plain } })).statusCode, 304)
      assert.equal((await app.inject({ url, headers: { ...headers, 'if-match': '"c"' } })).statusCode, 412)
    }
  }
})

test('a reply without content has no tag and no coding, whatever body the app gave it', async () => {
  const app = await make()
  app.get('/:status', (request, reply) => { reply.code(Number((request.params as { status: string }).status)).type('text/plain').send(MEDIUM) })
  for (const status of [204, 205]) {
    const reply = await app.inject({ url: `/${status}`, headers: gzip })
    assert.equal(reply.statusCode, status)
    for (const field of ['etag', 'vary', 'content-encoding']) assert.equal(reply.headers[field], undefined, `${field} of ${status}`)
  }
})

test('HEAD has the fields of GET where there is nothing to send', async () => {
  const app = await make()
  app.get('/nothing', (_request, reply) => { reply.send() })
  app.get('/null', async (_request, reply) => await reply.type('text/plain').send(null))
  app.get('/response', async () => new Response(null))
  app.get('/empty', async () => '')
  for (const url of ['/nothing', '/null', '/response', '/empty']) {
    const [get, head] = await Promise.all((['GET', 'HEAD'] as const).map(async method => await app.inject({ method, url, headers: gzip })))
    delete get!.headers.date
    delete head!.headers.date
    assert.deepEqual({ ...head!.headers }, { ...get!.headers }, url)
  }
})

test('event streams stay plain in whatever letters their type is written, and a 304 of a part has no range', async () => {
  const app = await make()
  app.get('/events', (_request, reply) => { reply.type('Text/Event-Stream; charset=utf-8').send(Readable.from([MEDIUM])) })
  app.get('/part', (_request, reply) => { reply.code(206).headers({ 'content-range': 'bytes 0-4/10', etag: '"v1"' }).type('text/plain').send('01234') })
  assert.equal((await app.inject({ url: '/events', headers: gzip })).headers['content-encoding'], undefined)
  const part = await app.inject({ url: '/part', headers: { ...gzip, 'if-none-match': '"v1"' } })
  assert.equal(part.statusCode, 304)
  assert.equal(part.headers['content-range'], undefined)
  // RFC 9110 section 15.3.7: the fields that the 200 would have. A cache would mix up what it keeps of both else.
  assert.equal(part.headers.vary, 'accept-encoding')
  assert.equal((await app.inject({ url: '/part', headers: gzip })).headers.vary, 'accept-encoding')
})

test('fields of a request that make no sense get plain bytes, and long ones are read once', async t => {
  const app = await make()
  t.after(() => app.close())
  app.get('/', async () => MEDIUM)
  const port = await listen(app)
  const get = (field: string): Promise<string> => raw(port, '/', field)
  for (const accepted of ['gzip;q=1.5', 'gzip;q', 'gzip;q=', 'gzip;q=-1', 'gzip;q=0.0001', ';;;,,,', '\u00ff', ','.repeat(9000), 'gzip;'.repeat(2000)]) {
    const reply = await get(`Accept-Encoding: ${accepted}`)
    assert.match(reply, /^HTTP\/1\.1 200 OK/, accepted.slice(0, 20))
    assert.doesNotMatch(reply, /content-encoding/, accepted.slice(0, 20))
  }
  const tag = /etag: (.*)\r\n/.exec(await get('X-A: b'))![1]!
  for (const [list, status] of [['"', 200], ['W/', 200], ['W/"', 200], ['"x",', 200], [', ', 200], ['"a', 200], [`${tag}, `, 304]] as const) {
    const field = list.repeat(14_000 / list.length)
    assert.match(await get(`If-None-Match: ${field}`), new RegExp(`^HTTP/1.1 ${status} `), list)
    assert.match(await get(`If-None-Match: ${field}, ${tag}`), /^HTTP\/1\.1 (?:200|304) /, list)
  }
})

test('HTTP/2: 200, 304 and 412 with the same fields as HTTP/1.1, and streams that are reset while their reply is encoded', async t => {
  const app = Fastify({ http2: true })
  await app.register(compression)
  app.get('/:body', (request, reply) => {
    const bodies: Record<string, unknown> = { medium: MEDIUM, large: LARGE, stream: Readable.from([MEDIUM]) }
    reply.type('text/plain').send(bodies[(request.params as { body: string }).body])
  })
  const port = await listen(app as unknown as FastifyInstance)
  const client = http2.connect(`http://127.0.0.1:${port}`)
  t.after(async () => {
    client.destroy()
    await app.close()
  })
  async function get (path: string, headers: Record<string, string>) {
    const stream = client.request({ ':path': path, ...headers })
    const [head] = await once(stream, 'response') as [http2.IncomingHttpHeaders & { ':status': number }]
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk)
    return { head, body: Buffer.concat(chunks) }
  }
  for (let i = 0; i < 20; i++) {
    const stream = client.request({ ':path': i % 2 === 0 ? '/large' : '/stream', ...gzip })
    stream.on('error', () => {})
    setImmediate(() => stream.close(http2.constants.NGHTTP2_CANCEL))
    await once(stream, 'close')
  }
  for (const [path, text] of [['/medium', MEDIUM], ['/large', LARGE], ['/large', LARGE], ['/stream', MEDIUM]] as const) {
    const { head, body } = await get(path, gzip)
    assert.equal(head[':status'], 200)
    assert.equal(head.vary, 'accept-encoding')
    assert.equal(zlib.gunzipSync(body).toString(), text)
    const same = await get(path, { ...gzip, 'if-none-match': '*' })
    assert.equal(same.head[':status'], 304)
    assert.equal(same.head.etag, head.etag)
    assert.equal(same.body.length, 0)
    if (path !== '/stream') assert.equal((await get(path, { ...gzip, 'if-match': '"x"' })).head[':status'], 412)
  }
})
