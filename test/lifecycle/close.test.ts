// close() under each shape that a connection can have when it is called. It is over with the last reply, which is whole:
// nothing waits for a keep-alive timeout, 72 s, or for closeTimeout, an hour here: a test that did would run into its own timeout.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import tls from 'node:tls'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import WebSocket from 'ws'
import surge, { lifecycle, serverOptions } from '../../plugins/index.ts'
import { certificate } from '../support/certificate.ts'
import { RawClient, deferred, eventually } from '../support/raw-http.ts'
import { localhostHasTwoAddresses } from '../support/two-addresses.ts'

interface Shape {
  server?: (t: TestContext) => object
  host?: string
  /** Begins what is open when close() is called, and resolves to what its last reply will have been. */
  begin: (port: number, app: FastifyInstance) => Promise<{ last: Promise<unknown> }>
  expected: unknown
}

/** The request is in its handler, which waits. */
async function begun (app: FastifyInstance, requests = 1): Promise<void> {
  await eventually(() => app.concurrency.stats().inflight === requests, 'in the handler')
}

const bodyOf = (client: RawClient): Promise<string> => client.reply().then(reply => reply.body)

async function askHttp2 (url: string, app: FastifyInstance): Promise<{ last: Promise<unknown> }> {
  const session = http2.connect(url, { rejectUnauthorized: false })
  const request = session.request({ ':path': '/' }).setEncoding('utf8')
  let body = ''
  request.on('data', data => { body += data })
  await begun(app)
  return { last: once(session, 'close').then(() => body) }
}

const shapes: Record<string, Shape> = {
  'a kept-alive GET': {
    begin: async (port, app) => {
      const client = (await RawClient.connect(port)).get('/')
      await begun(app)
      return { last: bodyOf(client) }
    },
    expected: 'whole'
  },
  'a POST': {
    begin: async (port, app) => {
      const client = (await RawClient.connect(port)).post('/', '{"a":1}')
      await begun(app)
      return { last: bodyOf(client) }
    },
    expected: '{"a":1}'
  },
  'a stream': {
    begin: async port => {
      const client = (await RawClient.connect(port)).get('/stream')
      await client.until(received => received.includes('first'))
      return { last: bodyOf(client) }
    },
    expected: 'first last'
  },
  'three pipelined requests': {
    begin: async (port, app) => {
      const client = (await RawClient.connect(port)).get('/').get('/').get('/')
      await begun(app, 3)
      return { last: (async () => [await bodyOf(client), await bodyOf(client), await bodyOf(client)])() }
    },
    expected: ['whole', 'whole', 'whole']
  },
  https: {
    server: t => ({ https: certificate(t) }),
    begin: async (port, app) => {
      const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
      let received = ''
      socket.on('data', data => { received += String(data) })
      socket.write('GET / HTTP/1.1\r\nHost: t\r\n\r\n')
      await begun(app)
      return { last: once(socket, 'close').then(() => received.slice(-5)) }
    },
    expected: 'whole'
  },
  'an HTTP/2 session': {
    server: () => ({ http2: true }),
    begin: (port, app) => askHttp2(`http://127.0.0.1:${port}`, app),
    expected: 'whole'
  },
  'an HTTP/2 session over TLS': {
    server: t => ({ http2: true, https: certificate(t) }),
    begin: (port, app) => askHttp2(`https://127.0.0.1:${port}`, app),
    expected: 'whole'
  },
  'an idle HTTP/2 session': {
    server: () => ({ http2: true }),
    begin: async port => {
      const session = http2.connect(`http://127.0.0.1:${port}`)
      await once(session, 'remoteSettings')
      return { last: once(session, 'goaway').then(([code]) => code) }
    },
    expected: 0
  },
  'a secondary listener': {
    host: 'localhost',
    begin: async (port, app) => {
      const client = (await RawClient.connect(port, '127.0.0.2')).get('/')
      await begun(app)
      return { last: bodyOf(client) }
    },
    expected: 'whole'
  },
  'an event stream that heeds the signal': {
    begin: async port => {
      const client = (await RawClient.connect(port)).get('/events')
      await client.until(received => received.includes('data'))
      return { last: bodyOf(client) }
    },
    expected: 'data: 1\n\n'
  },
  'a WebSocket': {
    begin: async port => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`)
      await once(socket, 'open')
      return { last: once(socket, 'close').then(([code]) => code) }
    },
    expected: 1005
  },
  'a body that a 401 did not wait for': {
    begin: async port => {
      const client = (await RawClient.connect(port)).send('POST /unauthorised HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n\r\n{')
      const { status } = await client.reply()
      return { last: client.closed.then(() => status) }
    },
    expected: 401
  }
}

/** What no hook of the suite meets: Fastify or Node answers it, or a hook that was registered first; and bytes that are no request. */
const unmet: Record<string, string> = {
  'a path that cannot be decoded': 'GET /%E0%A4%A HTTP/1.1\r\nHost: t\r\n\r\n',
  'a parameter that is too long': `GET /of/${'x'.repeat(200)} HTTP/1.1\r\nHost: t\r\n\r\n`,
  'an expectation that nobody knows': 'GET / HTTP/1.1\r\nHost: t\r\nExpect: miracles\r\n\r\n',
  'a hook before the suite that writes by itself': 'GET /?raw HTTP/1.1\r\nHost: t\r\n\r\n',
  'a stray line end behind a reply': 'GET /livez HTTP/1.1\r\nHost: t\r\n\r\n\r\n'
}
for (const [name, request] of Object.entries(unmet)) {
  shapes[`a kept connection behind ${name}`] = {
    begin: async port => {
      const client = (await RawClient.connect(port)).send(request)
      const { headers } = await client.reply()
      return { last: client.closed.then(() => headers.connection) }
    },
    expected: 'keep-alive'
  }
}
shapes['a hook before the suite that has yet to write'] = {
  begin: async port => {
    const client = (await RawClient.connect(port)).get('/?late')
    await client.until(received => received.includes('first'))
    return { last: bodyOf(client) }
  },
  expected: 'first last'
}

for (const [name, { server, host = '127.0.0.1', begin, expected }] of Object.entries(shapes)) {
  test(`close() under ${name}`, { timeout: 30_000 }, async t => {
    if (host === 'localhost') localhostHasTwoAddresses(t)
    const app = Fastify(serverOptions({ ...server?.(t), pluginTimeout: 0 }) as FastifyServerOptions)
    const gate = deferred()
    app.addHook('onRequest', async (request, reply) => {
      const { raw, late } = request.query as { raw?: string, late?: string }
      if (raw === undefined && late === undefined) return
      reply.hijack()
      reply.raw.setHeader('content-length', 10)
      reply.raw.write('first ')
      if (late !== undefined) await gate.promise
      reply.raw.end('last')
    })
    // Without what sheds on a busy machine.
    await app.register(surge, { pressure: false, lifecycle: { closeTimeout: 3_600_000 } })
    await app.register(websocket)
    app.get('/of/:name', async () => 'ok')
    app.get('/', async () => { await gate.promise; return 'whole' })
    app.post('/', async request => { await gate.promise; return request.body })
    app.post('/unauthorised', { onRequest: (_request, reply) => { reply.code(401).send() } }, async () => 'ok')
    app.get('/stream', (_request, reply) => {
      const stream = new Readable({ read () {} })
      stream.push('first ')
      gate.promise.then(() => { stream.push('last'); stream.push(null) })
      reply.type('text/plain').send(stream)
    })
    app.get('/events', (_request, reply) => {
      const stream = new Readable({ read () {} })
      stream.push('data: 1\n\n')
      app.lifecycle.signal.addEventListener('abort', () => stream.push(null), { once: true })
      reply.type('text/event-stream').send(stream)
    })
    app.get('/socket', { websocket: true }, () => {})
    await app.listen({ port: 0, host })
    const { last } = await begin((app.server.address() as AddressInfo).port, app)
    const closed = app.close()
    await eventually(() => app.lifecycle.signal.aborted, 'drained')
    const resumed = performance.now()
    gate.resolve()
    const reply = await last
    await closed
    t.diagnostic(`over ${(performance.now() - resumed).toFixed(1)} ms after the handlers went on`)
    assert.deepEqual(reply, expected)
  })
}

test('close() of a server whose lifecycle stands in one of its contexts ends what the others have answered', { timeout: 30_000 }, async () => {
  const app = Fastify(serverOptions())
  await app.register(async context => { await context.register(lifecycle, { closeTimeout: 3_600_000 }) }, { prefix: '/a' })
  app.get('/', async () => 'ok')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const client = (await RawClient.connect((app.server.address() as AddressInfo).port)).get('/')
  assert.equal((await client.reply()).status, 200)
  await app.close()
  await client.closed
})
