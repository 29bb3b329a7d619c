import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
import type { SurgeOptions } from '../../plugins/index.ts'
import { RawClient, deferred, eventually } from '../support/raw-http.ts'
import { atRest, closesByItself, complaints, serveBeside } from './beside.ts'

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

const held = deferred()

async function echo (app: FastifyInstance): Promise<void> {
  await app.register(websocket)
  app.register(async app => {
    app.get('/echo', { websocket: true }, (socket, request) => {
      socket.on('message', message => socket.send(`${message} of ${request.ip}`))
    })
    app.get('/held', async () => { await held.promise; return 'held' })
    app.get('/', async () => 'http')
  })
}

async function connect (port: number): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/echo`)
  await once(socket, 'open')
  return socket
}

async function ask (socket: WebSocket, text: string): Promise<string> {
  socket.send(text)
  return String((await once(socket, 'message'))[0])
}

const small: SurgeOptions = { concurrency: { limit: 1, maxQueue: 0 }, deadline: { timeout: 100 } }

test('an upgrade passes the gate, gives its slot back at once, and outlives the deadline', async t => {
  const { app, port, lines } = await serveBeside(t, { options: small, behind: echo })
  const first = await connect(port)
  const second = await connect(port)
  await atRest(app)
  assert.equal(app.concurrency.stats().admitted, 2)
  await new Promise(resolve => setTimeout(resolve, 200))
  assert.equal(await ask(first, 'one'), 'one of 127.0.0.1')
  assert.equal(await ask(second, 'two'), 'two of 127.0.0.1')
  assert.deepEqual(complaints(lines), [])
})

test('an upgrade that is refused gets its 503 or 429, and its connection ends: no timeout of Node would end it', async t => {
  const { app, port } = await serveBeside(t, { options: { ...small, rateLimit: { max: 2, timeWindow: '1 minute' } }, behind: echo })
  const holder = (await RawClient.connect(port)).get('/held')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  for (const [status, code] of [[503, 'FST_SURGE_QUEUE_FULL'], [429, 'FST_SURGE_RATE_LIMITED']] as const) {
    const client = (await RawClient.connect(port)).get('/echo', UPGRADE)
    const reply = await client.reply()
    assert.deepEqual([reply.status, JSON.parse(reply.body).code, reply.headers.connection], [status, code, 'close'])
    assert.match(reply.headers['retry-after']!, /^\d+$/)
    await client.closed
  }
  held.resolve()
  await holder.reply()
  await atRest(app)
})

test('an upgrade to a probe, to no route, and to a route that knows none', async t => {
  const { app, port } = await serveBeside(t, { behind: echo })
  for (const [path, status] of [['/livez', 200], ['/nowhere', 404]] as const) {
    const client = (await RawClient.connect(port)).get(path, UPGRADE)
    assert.equal((await client.reply()).status, status)
    await client.closed
  }
  const client = (await RawClient.connect(port)).get('/', UPGRADE)
  await client.until(received => received.includes('101 Switching Protocols'))
  client.socket.end(Buffer.from([0x88, 0x80, 0, 0, 0, 0]))
  await client.closed
  assert.equal((await (await RawClient.connect(port)).get('/echo').reply()).status, 404, 'a route for sockets, asked for by HTTP')
  await atRest(app)
})

test('a client that resets leaves nothing behind', async t => {
  const { app, port } = await serveBeside(t, { options: small, behind: echo })
  const client = (await RawClient.connect(port)).get('/echo', UPGRADE)
  await client.until(received => received.includes('101'))
  client.reset()
  await eventually(() => app.websocketServer.clients.size === 0, 'the socket gone')
  await atRest(app)
})

test('close() ends sockets with a close frame and does not wait for more', async t => {
  const { app, port } = await serveBeside(t, { behind: echo })
  const socket = await connect(port)
  const ended = once(socket, 'close')
  await closesByItself(app)
  assert.equal((await ended)[0], 1005)
})
