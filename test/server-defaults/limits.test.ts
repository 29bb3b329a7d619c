// Each limit by raw sockets, on the listeners that Fastify can have, with a probe beside the attack.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import tls from 'node:tls'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import surge from '../../plugins/index.ts'
import serverDefaults, { serverOptions, type ServerDefaultsOptions } from '../../plugins/server-defaults/index.ts'
import { listenersOf } from '../../plugins/shared/fastify-internals.ts'
import { certificate } from '../support/certificate.ts'
import { RawClient, deferred, eventually, listen } from '../support/raw-http.ts'
import { localhostHasTwoAddresses } from '../support/two-addresses.ts'

const QUICK: ServerDefaultsOptions = { checkInterval: 20, minBodyRate: { bytesPerSecond: 240, grace: 200 }, writeStallTimeout: 400 }

async function start (t: TestContext, options: ServerDefaultsOptions = {}, server: FastifyServerOptions = serverOptions(), setUp?: (app: FastifyInstance) => void): Promise<{ app: FastifyInstance, port: number }> {
  const app = Fastify(server)
  // Alone, close() waits for connections that never sent a byte.
  t.after(() => {
    if ('closeAllConnections' in app.server) app.server.closeAllConnections()
    return app.close()
  })
  await app.register(serverDefaults, options)
  app.get('/', async () => 'ok')
  app.post('/', async request => ({ got: JSON.stringify(request.body).length }))
  setUp?.(app)
  return { app, port: await listen(app) }
}

async function probe (port: number): Promise<void> {
  const client = await RawClient.connect(port)
  assert.equal((await client.get('/', 'Connection: close\r\n').reply()).status, 200)
  client.end()
}

const HALF_BODY = 'POST / HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"a":"'

test('a body below the minimum rate is answered 408 and closed, one above it lives', async t => {
  const { port } = await start(t, QUICK)
  const slow = (await RawClient.connect(port)).send(HALF_BODY)
  const fast = (await RawClient.connect(port)).send(HALF_BODY)
  const feeding = setInterval(() => fast.send('x'.repeat(40)), 20)
  t.after(() => clearInterval(feeding))
  await slow.until(received => received.includes('408'))
  await slow.closed
  await probe(port)
  await eventually(() => fast.socket.bytesWritten > HALF_BODY.length + 800, 'the fast body goes on')
  assert.equal(fast.socket.destroyed, false)
  clearInterval(feeding)
  fast.send('x'.repeat(1_000 - 8 - (fast.socket.bytesWritten - HALF_BODY.length)) + '"}')
  assert.equal((await fast.reply()).status, 200)
})

test('a prompt sender is not charged for a slow consumer', async t => {
  const consumed = deferred()
  const { port } = await start(t, QUICK, serverOptions({ bodyLimit: 1e9 }), app => {
    app.addContentTypeParser('application/slow', (_request, payload, done) => {
      consumed.promise.then(() => payload.resume().once('end', () => done(null, 'all')))
    })
  })
  const client = await RawClient.connect(port)
  client.send(`POST / HTTP/1.1\r\nHost: t\r\nContent-Type: application/slow\r\nContent-Length: ${4e6}\r\n\r\n`).send(Buffer.alloc(4e6))
  // Long past the grace of another sender, who is silent, and whose end says that time has passed.
  const silent = (await RawClient.connect(port)).send(HALF_BODY)
  await silent.closed
  await new Promise(resolve => setTimeout(resolve, 400))
  consumed.resolve()
  assert.equal((await client.reply()).status, 200)
})

test('a stalled Expect is 100, then 408; in overload it is 503 without a 100', async t => {
  const { port } = await start(t, QUICK)
  const head = 'POST / HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n'
  const stalled = (await RawClient.connect(port)).send(head)
  assert.equal((await stalled.reply()).status, 100)
  await stalled.until(received => received.includes('408'))
  await stalled.closed

  const app = Fastify(serverOptions())
  t.after(() => app.close())
  await app.register(surge, { concurrency: { limit: 1, maxQueue: 0 } })
  const busy = deferred()
  app.get('/', () => busy.promise.then(() => 'ok'))
  app.post('/', async () => 'taken')
  const overloaded = await listen(app)
  const first = (await RawClient.connect(overloaded)).get('/')
  await eventually(() => app.concurrency.stats().inflight === 1, 'the slot is taken')
  const refused = await (await RawClient.connect(overloaded)).send(head).reply()
  assert.deepEqual([refused.status, refused.headers.connection], [503, 'close'])
  busy.resolve()
  assert.equal((await first.reply()).status, 200)
  const admitted = (await RawClient.connect(overloaded)).send(head)
  assert.equal((await admitted.reply()).status, 100)
  assert.equal((await admitted.send(`"${'x'.repeat(998)}"`).reply()).body, 'taken')
})

test('a reply that nobody reads is destroyed; a slow reader and a slow handler live', async t => {
  const long = deferred()
  const { port } = await start(t, QUICK, serverOptions(), app => {
    app.get('/big', async () => Buffer.alloc(30e6))
    app.get('/long', () => long.promise.then(() => 'at last'))
  })
  const handler = (await RawClient.connect(port)).get('/long')
  const paused = (await RawClient.connect(port)).get('/big')
  paused.socket.pause()
  const reader = net.connect(port, '127.0.0.1')
  reader.write('GET /big HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n')
  let read = 0
  reader.on('data', data => {
    read += data.length
    reader.pause()
    setTimeout(() => reader.resume(), 4)
  })
  await once(reader, 'end')
  assert.ok(read > 30e6, `${read} bytes`)
  paused.socket.resume()
  await paused.closed
  assert.ok(paused.received.length < 30e6)
  await probe(port)
  long.resolve()
  assert.equal((await handler.reply()).body, 'at last')
})

test('3,000 pipelined requests start 16 handlers; then a 503 and the end', async t => {
  const release = deferred()
  let handlers = 0
  const { port } = await start(t, {}, serverOptions(), app => {
    app.get('/wait', () => { handlers++; return release.promise.then(() => 'waited') })
  })
  const flood = (await RawClient.connect(port)).send('GET /wait HTTP/1.1\r\nHost: t\r\n\r\n'.repeat(3_000))
  await eventually(() => handlers >= 16, 'handlers start')
  await probe(port)
  assert.equal(handlers, 16)
  release.resolve()
  for (let i = 0; i < 16; i++) assert.equal((await flood.reply()).status, 200)
  const { status, headers, body } = await flood.reply()
  assert.deepEqual([status, headers.connection, JSON.parse(body).code], [503, 'close', 'FST_SURGE_PIPELINE_FULL'])
  await flood.closed
  assert.equal(handlers, 16)
  const polite = (await RawClient.connect(port)).send('GET / HTTP/1.1\r\nHost: t\r\n\r\n'.repeat(16))
  for (let i = 0; i < 16; i++) assert.equal((await polite.reply()).status, 200)
  polite.send('GET / HTTP/1.1\r\nHost: t\r\n\r\n'.repeat(16))
  for (let i = 0; i < 16; i++) assert.equal((await polite.reply()).status, 200)
})

test('blank lines keep no connection open between requests, nor before the first', async t => {
  const { port } = await start(t, { ...QUICK, headersTimeout: 200, keepAliveTimeout: 100 })
  const fresh = await RawClient.connect(port)
  const used = (await RawClient.connect(port)).get('/')
  await used.reply()
  const dripping = setInterval(() => { for (const client of [fresh, used]) client.send('\r\n') }, 50)
  t.after(() => clearInterval(dripping))
  await Promise.all([fresh.closed, used.closed])
  await probe(port)
})

test('101 header fields are 431, two Hosts 400, and neither reaches a handler', async t => {
  const { port } = await start(t)
  const fields = (count: number) => Array.from({ length: count }, (_, i) => `x-${i}: v\r\n`).join('')
  assert.equal((await (await RawClient.connect(port)).get('/', fields(99)).reply()).status, 200)
  for (const [headers, status, code] of [[fields(100), 431, 'FST_SURGE_TOO_MANY_HEADERS'], ['host: other\r\n', 400, 'FST_SURGE_DUPLICATE_HOST']] as const) {
    const client = (await RawClient.connect(port)).get('/', headers)
    const reply = await client.reply()
    assert.deepEqual([reply.status, reply.headers.connection, JSON.parse(reply.body).code], [status, 'close', code])
    await client.closed
  }
  // Node 20 drops what is past 1,000 and leaves it to us; later ones answer by themselves.
  const flood = (await RawClient.connect(port)).get('/', fields(1_500))
  await flood.until(received => received.includes('HTTP/1.1 431 '))
  await flood.closed
})

test('an upgrade with 101 fields or two Hosts reaches nobody, whoever listened for it and when', async t => {
  let upgrades = 0
  const { port, app } = await start(t)
  app.server.on('upgrade', (_request, socket) => {
    upgrades++
    socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n')
  })
  const upgrade = 'Connection: Upgrade\r\nUpgrade: test\r\n'
  const fields = Array.from({ length: 98 }, (_, i) => `x-${i}: v\r\n`).join('')
  for (const [headers, status, code] of [[fields, 431, 'FST_SURGE_TOO_MANY_HEADERS'], ['host: other\r\n', 400, 'FST_SURGE_DUPLICATE_HOST']] as const) {
    const client = (await RawClient.connect(port)).get('/', upgrade + headers)
    const reply = await client.reply()
    assert.deepEqual([reply.status, reply.headers.connection, JSON.parse(reply.body).code], [status, 'close', code])
    await client.closed
  }
  assert.equal(upgrades, 0)
  assert.equal((await (await RawClient.connect(port)).get('/', upgrade).reply()).status, 101)
  await probe(port)
})

test('one address gets its connections and no more, and its places back', async t => {
  const { port } = await start(t, { maxConnectionsPerIp: 2 })
  const [first] = [await RawClient.connect(port), await RawClient.connect(port)]
  const third = await RawClient.connect(port)
  await third.closed
  first!.end()
  await first!.closed
  let status = 0
  // The server hears of the close a moment later.
  while (status !== 200) {
    const next = (await RawClient.connect(port)).get('/')
    status = await next.reply().then(reply => reply.status, () => 0)
  }
})

test('a dry run counts and refuses nothing', async t => {
  const lines: any[] = []
  const app = Fastify(serverOptions({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } }))
  t.after(() => app.close())
  await app.register(surge, { dryRun: true, serverDefaults: { ...QUICK, maxHeaders: 2, maxPipelined: 1, maxConnectionsPerIp: 1 } })
  app.get('/', async () => 'ok')
  app.post('/', async () => 'ok')
  const port = await listen(app)
  const client = (await RawClient.connect(port)).send('GET / HTTP/1.1\r\nHost: t\r\na: 1\r\nb: 2\r\n\r\n'.repeat(5))
  for (let i = 0; i < 5; i++) assert.equal((await client.reply()).status, 200)
  const slow = (await RawClient.connect(port)).send(HALF_BODY)
  await eventually(() => lines.some(line => line.reason === 'slow_body'), 'the slow body is counted')
  assert.equal((await slow.send(`${'x'.repeat(1_000 - 8)}"}`).reply()).status, 200)
  const reasons = ['connections_per_ip', 'pipeline_full', 'slow_body', 'too_many_headers']
  assert.deepEqual([...new Set(lines.filter(line => line.dryRun).map(line => line.reason))].sort(), reasons)
  const points = app.surgeMetrics.snapshot().find(({ instrument }) => instrument.name === 'fastify.refusals')!.points
  assert.deepEqual(points.map(({ labels: { by, reason, dry_run: dryRun } }) => `${by} ${reason} ${dryRun}`).sort(), reasons.map(reason => `server-defaults ${reason} true`))
})

test('the plugin has a dry run of its own, which goes before the umbrella\'s', async t => {
  const { port } = await start(t, { maxHeaders: 2, dryRun: true })
  assert.equal((await (await RawClient.connect(port)).get('/', 'a: 1\r\nb: 2\r\n').reply()).status, 200)
  const app = Fastify(serverOptions())
  t.after(() => app.close())
  await app.register(surge, { dryRun: true, serverDefaults: { maxHeaders: 2, dryRun: false } })
  assert.equal((await (await RawClient.connect(await listen(app))).get('/', 'a: 1\r\nb: 2\r\n').reply()).status, 431)
  assert.equal(app.surgeMetrics.snapshot().find(({ instrument }) => instrument.name === 'fastify.refusals')!.points[0]!.value, 1)
})

test('https and a serverFactory have every limit', async t => {
  const { key, cert } = certificate(t)
  const secure = await start(t, { ...QUICK, headersTimeout: 300 }, serverOptions({ https: { key, cert } }) as FastifyServerOptions)
  const shaking = await RawClient.connect(secure.port)
  const speaking = tls.connect({ port: secure.port, host: '127.0.0.1', rejectUnauthorized: false })
  speaking.write(HALF_BODY)
  assert.match(String(await once(speaking, 'data')), /^HTTP\/1.1 408/)
  await shaking.closed

  const made = await start(t, QUICK, serverOptions({ serverFactory: handler => http.createServer((req, res) => handler(req, res)) }))
  const slow = (await RawClient.connect(made.port)).send(HALF_BODY)
  await slow.until(received => received.includes('408'))
  assert.equal((await (await RawClient.connect(made.port)).get('/', 'Host: again\r\n').reply()).status, 400)
})

test('HTTP/1 beside HTTP/2 has every limit, the pause between requests too', async t => {
  const { port } = await start(t, { ...QUICK, headersTimeout: 200, keepAliveTimeout: 100 }, serverOptions({ http2: true, https: { ...certificate(t), allowHTTP1: true } }) as unknown as FastifyServerOptions)
  async function connect (text: string): Promise<{ socket: tls.TLSSocket, received: () => string }> {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    socket.on('error', () => {})
    let received = ''
    socket.on('data', data => { received += String(data) })
    await once(socket, 'secureConnect')
    socket.write(text)
    return { socket, received: () => received }
  }
  const ends = [['', '408'], ['GET / HT', '408'], ['GET / HTTP/1.1\r\nHost: t\r\n\r\n', '200'], [HALF_BODY, '408']] as const
  await Promise.all(ends.map(async ([text, status]) => {
    const { socket, received } = await connect(text)
    await once(socket, 'close')
    assert.ok(received().startsWith(`HTTP/1.1 ${status}`), `${JSON.stringify(text)}: ${received()}`)
  }))
})

test('the secondary listeners of localhost have every limit', async t => {
  localhostHasTwoAddresses(t)
  const app = Fastify(serverOptions({ http: { headersTimeout: 200, connectionsCheckingInterval: 20 } }))
  t.after(() => {
    for (const listener of listenersOf(app)) listener.closeAllConnections()
    return app.close()
  })
  await app.register(serverDefaults, { ...QUICK, keepAliveTimeout: 300, maxHeaders: 3, maxPipelined: 2, maxConnectionsPerIp: 9, maxRequestsPerSocket: 4 })
  app.get('/', async () => 'ok')
  app.post('/', async () => 'ok')
  app.get('/wait', () => new Promise(() => {}))
  app.get('/big', async () => Buffer.alloc(30e6))
  await app.listen({ port: 0, host: 'localhost' })
  const { port } = app.server.address() as AddressInfo
  const connect = (): Promise<RawClient> => RawClient.connect(port, '127.0.0.2')

  const client = await connect()
  for (const [text, status] of [['GET / HTTP/1.1\r\nHost: t\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n', 431], ['GET / HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n', 400]] as const) {
    const refused = (await connect()).send(text)
    assert.equal((await refused.reply()).status, status)
    await refused.closed
  }
  for (let i = 1; i <= 4; i++) assert.equal((await client.get('/').reply()).headers.connection, i < 4 ? 'keep-alive' : 'close')

  const unread = (await connect()).get('/big')
  unread.socket.pause()
  const idle = (await connect()).get('/')
  await idle.reply()
  const slowHead = (await connect()).send('GET / HTTP/1.1\r\nHost: t\r\nX-Slow: ')
  const slowBody = (await connect()).send(HALF_BODY)
  const pipelined = (await connect()).send('GET /wait HTTP/1.1\r\nHost: t\r\n\r\n'.repeat(3))
  await Promise.all([slowHead.until(received => received.includes('408')), slowBody.until(received => received.includes('408'))])
  await Promise.all([idle, slowHead, slowBody].map(({ closed }) => closed))
  // Its 503 stands behind two replies that never come, so nothing of it is seen but that no third handler waits.
  assert.equal(pipelined.received.length, 0)
  unread.socket.resume()
  await unread.closed
  assert.ok(unread.received.length < 30e6)

  const both = await Promise.all(Array.from({ length: 10 }, connect))
  await Promise.any(both.map(({ closed }) => closed))
})

function frame (type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** GET or POST, http, /, authority 'x', in HPACK's static table. */
const [GET_HEAD, POST_HEAD] = [0x82, 0x83].map(method => Buffer.from([method, 0x86, 0x84, 0x41, 0x01, 0x78])) as [Buffer, Buffer]
const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)])

test('HTTP/2: rapid resets end the session, with a bound on handlers; 100 streams are promised', async t => {
  let handlers = 0
  const { port, app } = await start(t, {}, serverOptions({ http2: true }) as unknown as FastifyServerOptions, app => {
    app.addHook('onRequest', async () => { handlers++ })
  })
  const cancel = Buffer.from([0, 0, 0, 8])
  const flood = await RawClient.connect(port)
  flood.send(PREFACE)
  for (let id = 1; id < 10_000; id += 2) flood.send(Buffer.concat([frame(1, 5, id, GET_HEAD), frame(3, 0, id, cancel)]))
  await flood.closed
  assert.ok(handlers > 0 && handlers <= 1_200, `${handlers} handlers`)
  const client = http2.connect(`http://127.0.0.1:${port}`)
  const [settings] = await once(client, 'remoteSettings')
  assert.equal(settings.maxConcurrentStreams, 100)
  const request = client.request({ ':path': '/' })
  const [headers] = await once(request, 'response')
  assert.equal(headers[':status'], 200)
  client.destroy()
  assert.equal(app.server.listening, true)
})

test('HTTP/2: resets that call themselves no error count as well, once what came with them is read', async t => {
  let handlers = 0
  const { port } = await start(t, { checkInterval: 50 }, serverOptions({ http2: true }) as unknown as FastifyServerOptions, app => {
    app.addHook('onRequest', async () => { handlers++ })
  })
  const flood = (await RawClient.connect(port)).send(PREFACE)
  for (let id = 1; id < 10_000; id += 2) flood.send(Buffer.concat([frame(1, 5, id, GET_HEAD), frame(3, 0, id, Buffer.alloc(4))]))
  await flood.closed
  // 1,000, and what fits into one read of 64 KB.
  assert.ok(handlers > 0 && handlers <= 3_400, `${handlers} handlers`)
})

test('HTTP/2: of 150 streams that are opened at once 100 get a handler, the rest is refused', async t => {
  let handlers = 0
  const { port } = await start(t, {}, serverOptions({ http2: true }) as unknown as FastifyServerOptions, app => {
    app.addHook('onRequest', () => { handlers++; return new Promise(() => {}) })
  })
  const hoard = (await RawClient.connect(port)).send(PREFACE)
  hoard.send(Buffer.concat(Array.from({ length: 150 }, (_, i) => frame(1, 5, 2 * i + 1, GET_HEAD))))
  const refused = (id: number): Buffer => frame(3, 0, id, Buffer.from([0, 0, 0, 7]))
  await hoard.until(received => received.includes(refused(299)))
  for (let i = 100; i < 150; i++) assert.ok(hoard.received.includes(refused(2 * i + 1)), `stream ${2 * i + 1}`)
  assert.equal(handlers, 100)
  hoard.end()
})

test('HTTP/2: a silent session, a slow body and an unread reply come to their ends', async t => {
  const { port } = await start(t, { ...QUICK, headersTimeout: 300 }, serverOptions({ http2: true }) as unknown as FastifyServerOptions, app => {
    app.get('/big', async () => Buffer.alloc(5e6))
  })
  const silent = (await RawClient.connect(port)).send(PREFACE)
  await silent.closed
  const slow = (await RawClient.connect(port)).send(Buffer.concat([PREFACE, frame(1, 4, 1, POST_HEAD)]))
  // RST_STREAM of stream 1 behind its 408.
  await slow.until(received => received.includes(frame(3, 0, 1, Buffer.alloc(4)).subarray(0, 9)))
  slow.end()
  const client = http2.connect(`http://127.0.0.1:${port}`)
  client.on('error', () => {})
  const request = client.request({ ':path': '/big' })
  request.on('error', () => {})
  await once(client, 'close')
  assert.ok(request.closed)
})
