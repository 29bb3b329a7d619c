// Refusals of requests whose body is not in, by raw sockets (RFC 9112 section 9.6).
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyServerOptions } from 'fastify'
import surge, { serverOptions, type SurgeOptions } from '../../plugins/index.ts'
import { RawClient, eventually, listen } from '../support/raw-http.ts'

const CHUNK = Buffer.alloc(64 * 1024)

async function start (t: TestContext, options: SurgeOptions, setUp: (app: ReturnType<typeof Fastify>) => void = () => {}, server: FastifyServerOptions = serverOptions()) {
  const app = Fastify(server)
  t.after(() => app.close())
  await app.register(surge, options)
  app.post('/', async () => 'ok')
  app.post('/unauthorised', { onRequest: (_request, reply) => { reply.code(401).send('who are you?') } }, async () => 'ok')
  setUp(app)
  const sockets: Socket[] = []
  app.server.on('connection', socket => sockets.push(socket))
  return { port: await listen(app), sockets }
}

/** Sends 50 MB as fast as they are taken, until the server ends it. */
async function sendAll (client: RawClient): Promise<void> {
  for (let sent = 0; sent < 50e6 && !client.socket.destroyed; sent += CHUNK.length) {
    if (!client.socket.write(CHUNK)) await Promise.race([new Promise(resolve => client.socket.once('drain', resolve)), client.closed])
  }
  await client.closed
}

test('50 MB behind a 429, a 503 or an app\'s own 401 are cut after 64 KB and what one read brings', async t => {
  const quota = await start(t, { rateLimit: { max: 1, timeWindow: 60_000 } })
  await (await RawClient.connect(quota.port)).post('/', '{}').reply()
  const full = await start(t, { concurrency: { limit: 1, maxQueue: 0 } }, app => { app.get('/hang', () => new Promise(() => {})) })
  const hanging = (await RawClient.connect(full.port)).get('/hang')
  const own = await start(t, {})
  for (const [{ port, sockets }, path, status] of [[quota, '/', 429], [full, '/', 503], [own, '/unauthorised', 401]] as const) {
    for (const length of [`Content-Length: ${50e6}`, 'Transfer-Encoding: chunked']) {
      const client = await RawClient.connect(port)
      client.send(`POST ${path} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n${length}\r\n\r\n${length.startsWith('T') ? '2faf080\r\n' : ''}`)
      const reply = await client.reply()
      assert.deepEqual([reply.status, reply.headers.connection], [status, 'close'])
      await sendAll(client)
      const { bytesRead, destroyed } = sockets.at(-1)!
      assert.ok(destroyed)
      assert.ok(bytesRead <= 3 * 64 * 1024, `${bytesRead} bytes were read`)
    }
  }
  hanging.reset()
})

test('HTTP/2: the reply to a body that is not in is complete, and its stream closes', async t => {
  const { port } = await start(t, {}, undefined, serverOptions({ http2: true }) as FastifyServerOptions)
  const session = http2.connect(`http://127.0.0.1:${port}`)
  t.after(() => session.destroy())
  const stream = session.request({ ':method': 'POST', ':path': '/unauthorised', 'content-type': 'application/json', 'content-length': 200_000 })
  stream.on('error', () => {}).setEncoding('utf8').write('x'.repeat(20_000))
  const [{ ':status': status }] = await once(stream, 'response') as any
  let body = ''
  stream.on('data', data => { body += data })
  // Node's client has none of these of a reply that a reset cut off.
  await Promise.all([once(stream, 'end'), once(stream, 'close')])
  assert.deepEqual([status, body, stream.rstCode], [401, 'who are you?', http2.constants.NGHTTP2_NO_ERROR])
})

test('a body of up to 64 KB is read off the connection, which is kept', async t => {
  const { port } = await start(t, {})
  const client = await RawClient.connect(port)
  client.send('POST /unauthorised HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 65536\r\n\r\n')
  const reply = await client.reply()
  assert.deepEqual([reply.status, reply.headers.connection], [401, 'keep-alive'])
  client.send(CHUNK)
  assert.equal((await client.post('/', '{}').reply()).status, 200)
})

test('what is pipelined behind the last reply of a connection becomes no request', async t => {
  let handled = 0
  const { port } = await start(t, {}, app => { app.get('/', async () => `${++handled}`) })
  const client = await RawClient.connect(port)
  client.send('POST /unauthorised HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n')
  assert.equal((await client.reply()).headers.connection, 'close')
  client.send('0\r\n\r\n').get('/')
  await client.closed
  assert.equal(handled, 0)
})

test('HTTP/2: behind a 413, a 429 or a 401 the stream is reset without an error, and no more of its 50 MB is read', async t => {
  const { port, sockets } = await start(t, { rateLimit: { max: 2, timeWindow: 60_000 } }, () => {}, serverOptions({ http2: true, bodyLimit: 100_000 }) as unknown as FastifyServerOptions)
  const client = http2.connect(`http://127.0.0.1:${port}`)
  for (const [path, status] of [['/', 413], ['/unauthorised', 401], ['/', 429]] as const) {
    const before = sockets.at(-1)?.bytesRead ?? 0
    const request = client.request({ ':method': 'POST', ':path': path, 'content-type': 'application/json' })
    const response = once(request, 'response')
    request.on('error', () => {}).resume()
    const writing = setInterval(() => { if (!request.closed && request.writableLength < 1e6) for (let i = 0; i < 16; i++) request.write(CHUNK) }, 1)
    t.after(() => clearInterval(writing))
    await eventually(() => request.closed, 'the stream is reset')
    clearInterval(writing)
    assert.deepEqual([(await response)[0][':status'], request.rstCode], [status, http2.constants.NGHTTP2_NO_ERROR])
    assert.ok(sockets.at(-1)!.bytesRead - before <= 6 * 64 * 1024, `${sockets.at(-1)!.bytesRead - before} bytes were read`)
  }
  assert.equal(client.closed, false)
  client.destroy()
})
