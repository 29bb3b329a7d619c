// Refusals of requests whose body is not in, by raw sockets (RFC 9112 section 9.6).
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import Fastify from 'fastify'
import surge, { serverOptions, type SurgeOptions } from '../../plugins/index.ts'
import { RawClient, listen } from '../support/raw-http.ts'

const CHUNK = Buffer.alloc(64 * 1024)

async function start (t: TestContext, options: SurgeOptions, setUp: (app: ReturnType<typeof Fastify>) => void = () => {}) {
  const app = Fastify(serverOptions())
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
