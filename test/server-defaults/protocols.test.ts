// What a connection of HTTP/1 may bring that is not quite HTTP/1: other versions, and upgrades where none can be had.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import surge, { serverOptions } from '../../plugins/index.ts'
import { RawClient, eventually, listen } from '../support/raw-http.ts'

for (const version of ['0.9', '2.0']) {
  test(`a request line that says HTTP/${version} is no HTTP/2, whatever becomes of it`, async t => {
    const app = Fastify(serverOptions())
    t.after(() => app.close())
    await app.register(surge, { rateLimit: { max: 5, timeWindow: 60_000 } })
    app.get('/', async () => 'ok')
    app.post('/', async () => 'ok')
    app.post('/hang', { config: { deadline: 50 } }, async request => { await once(request.deadline.signal, 'abort'); return 'late' })
    app.post('/unauthorised', { onRequest: (_request, reply) => { reply.code(401).send() } }, async () => 'ok')
    const port = await listen(app)
    const asked = async (line: string, headers = '', body = ''): Promise<number> => {
      const client = (await RawClient.connect(port)).send(`${line} HTTP/${version}\r\nHost: t\r\nConnection: close\r\n${headers}\r\n${body}`)
      await client.closed
      return Number(/^HTTP\/1\.1 (\d+)/.exec(client.received.toString())?.[1])
    }
    const json = 'Content-Type: application/json\r\n'
    assert.equal(await asked('GET /'), 200)
    assert.equal(await asked('POST /', `${json}Content-Length: 2\r\n`, '{}'), 200)
    assert.equal(await asked('POST /unauthorised', `${json}Content-Length: 200000\r\n`, '{'), 401)
    assert.equal(await asked('POST /hang', `${json}Content-Length: 2\r\n`, '{}'), 503)
    assert.equal(await asked('GET /', 'a: 1\r\n'.repeat(120)), 431)
    for (let i = 0; i < 2; i++) await asked('GET /')
    assert.equal(await asked('GET /'), 429)
    await eventually(() => app.concurrency.stats().inflight === 0, 'no slot is taken')
  })
}

async function * ticks (): AsyncGenerator<string> {
  for (;;) {
    yield 'tick'
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

test('an upgrade that is pipelined behind a reply ends the connection, and the reply gives its slot back', async t => {
  const app = Fastify(serverOptions())
  t.after(() => app.close())
  await app.register(surge, { concurrency: { limit: 5, orphanTimeout: 3_600_000 }, deadline: false })
  await app.register(websocket)
  app.get('/socket', { websocket: true }, () => {})
  app.get('/stream', (_request, reply) => { reply.type('image/png').send(Readable.from(ticks())) })
  const port = await listen(app)
  const clients = await Promise.all(Array.from({ length: 5 }, async () => (await RawClient.connect(port)).get('/stream')))
  await eventually(() => app.concurrency.stats().inflight === 5, 'all stream')
  for (const path of ['/socket', '/nope']) for (const client of clients) client.get(path, 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n')
  for (const client of clients) await client.closed
  await eventually(() => app.concurrency.stats().inflight === 0, 'no slot is taken')
})
