import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import concurrency from '../../plugins/concurrency/index.ts'
import surge from '../../plugins/index.ts'
import lifecycle, { type LifecycleOptions } from '../../plugins/lifecycle/index.ts'
import { serverOptions } from '../../plugins/server-defaults/index.ts'
import { listenersOf } from '../../plugins/shared/fastify-internals.ts'
import { sidePathsOf } from '../../plugins/shared/side-paths.ts'
import { RawClient, deferred, eventually, listen } from '../support/raw-http.ts'
import { localhostHasTwoAddresses } from '../support/two-addresses.ts'

async function serve (t: TestContext, options: LifecycleOptions, routes: (app: FastifyInstance) => void, server: FastifyServerOptions = serverOptions()): Promise<{ app: FastifyInstance, port: number }> {
  const app = Fastify(server)
  t.after(() => app.close())
  await app.register(lifecycle, { closeTimeout: 4_000, ...options })
  routes(app)
  return { app, port: await listen(app) }
}

/** Milliseconds that close() took; a bound on it is what the plugin promises. */
async function closing (app: FastifyInstance): Promise<number> {
  const began = performance.now()
  await app.close()
  return performance.now() - began
}

test('livez and readyz answer GET and HEAD from a constant', async t => {
  const { app, port } = await serve(t, {}, () => {})
  const client = await RawClient.connect(port)
  for (const path of ['/livez', '/readyz', '/livez?verbose']) {
    const reply = await client.get(path).reply()
    assert.deepEqual([reply.status, reply.body, reply.headers['cache-control']], [200, '{"status":"ok"}', 'no-store'])
  }
  assert.equal((await app.inject({ method: 'HEAD', url: '/readyz' })).statusCode, 200)
})

test('probes are answered before the auth of the app', async t => {
  const { port } = await serve(t, {}, app => {
    app.addHook('onRequest', async (_request, reply) => reply.code(401).send('who are you?'))
    app.get('/', async () => 'ok')
  })
  const client = await RawClient.connect(port)
  assert.equal((await client.get('/').reply()).status, 401)
  assert.equal((await client.get('/livez').reply()).status, 200)
  assert.equal((await client.get('/readyz').reply()).status, 200)
})

test('draining takes readiness away, not liveness, and goes on serving with Connection: close', async t => {
  const { app, port } = await serve(t, {}, app => { app.get('/', async () => 'ok') })
  assert.deepEqual([app.lifecycle.ready, app.lifecycle.draining], [true, false])
  await app.lifecycle.drain()
  assert.deepEqual([app.lifecycle.ready, app.lifecycle.draining], [false, true])
  assert.equal((await (await RawClient.connect(port)).get('/readyz').reply()).status, 503)
  assert.equal((await (await RawClient.connect(port)).get('/livez').reply()).status, 200)
  const client = (await RawClient.connect(port)).get('/')
  const reply = await client.reply()
  assert.deepEqual([reply.status, reply.headers.connection], [200, 'close'])
  await client.closed
})

test('a reply that says keep-alive by itself ends its connection too while the server drains; one that cannot be kept from it keeps it', async t => {
  const { app, port } = await serve(t, {}, app => {
    app.get('/field', async (_request, reply) => { reply.header('connection', 'keep-alive'); return 'ok' })
    app.get('/raw', (_request, reply) => { reply.hijack(); reply.raw.writeHead(200, { connection: 'keep-alive', 'content-length': 2 }).end('ok') })
  })
  await app.lifecycle.drain()
  const field = (await RawClient.connect(port)).get('/field')
  assert.equal((await field.reply()).headers.connection, 'close')
  await field.closed
  const raw = (await RawClient.connect(port)).get('/raw')
  assert.equal((await raw.reply()).headers.connection, 'keep-alive')
  assert.equal((await raw.get('/field').reply()).body, 'ok')
})

test('a download of a client that would like h2c is no upgrade: close() waits for it, and its slot is taken', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { closeTimeout: 3_600_000 }, async app => {
    app.get('/', async (_request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, { 'content-length': 5 }).write('01')
      await gate.promise
      reply.raw.end('234')
    })
  })
  const client = (await RawClient.connect(port)).get('/', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n')
  await client.until(received => received.includes('01'))
  const closed = app.close()
  await eventually(() => app.lifecycle.signal.aborted, 'drained')
  gate.resolve()
  assert.equal((await client.reply()).body, '01234')
  await closed
})

test('not ready before the app is', async () => {
  const app = Fastify()
  await app.register(lifecycle)
  assert.equal(app.lifecycle.ready, false)
  await app.ready()
  assert.equal(app.lifecycle.ready, true)
  await app.close()
})

test('a taken probe path is named, whoever came first', async () => {
  const before = Fastify()
  before.get('/livez', async () => 'mine')
  await assert.rejects(async () => { await before.register(lifecycle) }, { code: 'FST_SURGE_CLASH', message: /\/livez is taken.*livez: '\/another'/ })
  const after = Fastify()
  await after.register(lifecycle)
  assert.throws(() => after.get('/readyz', async () => 'mine'), { code: 'FST_SURGE_CLASH' })
  const moved = Fastify()
  await moved.register(lifecycle, { livez: '/alive', readyz: false })
  moved.get('/livez', async () => 'mine')
  moved.get('/readyz', async () => 'mine')
  assert.equal((await moved.inject('/livez')).body, 'mine')
  assert.equal((await moved.inject('/alive')).statusCode, 200)
})

test('close() waits for the reply in flight, sends it whole with Connection: close, and ends with it', async t => {
  const began = deferred()
  const gate = deferred()
  const { app, port } = await serve(t, {}, app => { app.get('/', async () => { began.resolve(); await gate.promise; return 'whole' }) })
  const idle = await RawClient.connect(port)
  const client = (await RawClient.connect(port)).get('/')
  await began.promise
  const closed = closing(app)
  await idle.closed
  gate.resolve()
  const reply = await client.reply()
  assert.deepEqual([reply.status, reply.body, reply.headers.connection], [200, 'whole', 'close'])
  assert.ok(await closed < 1_000)
})

test('close() does not wait for idle keep-alive connections, nor for those that never sent a byte (fastify#7044)', async t => {
  const { app, port } = await serve(t, {}, app => { app.get('/', async () => 'ok') })
  const used = (await RawClient.connect(port)).get('/')
  assert.equal((await used.reply()).headers.connection, 'keep-alive')
  const silent = await RawClient.connect(port)
  assert.ok(await closing(app) < 1_000)
  await Promise.all([used.closed, silent.closed])
})

test('close() cuts no reply that is ended but not flushed, as closeIdleConnections() of Node does', async t => {
  const size = 10_000_000
  const { app, port } = await serve(t, {}, app => { app.get('/', async () => Buffer.alloc(size)) })
  const client = (await RawClient.connect(port)).get('/')
  await client.until(received => received.length > 0)
  client.socket.pause()
  const closed = app.close()
  await new Promise(resolve => setTimeout(resolve, 50))
  client.socket.resume()
  assert.equal((await client.reply()).body.length, size)
  await closed
})

test('a stream that began before close() is sent to its end, and its connection is not kept', async t => {
  const stream = new Readable({ read () {} })
  const { app, port } = await serve(t, {}, app => { app.get('/', (_request, reply) => reply.type('text/plain').send(stream)) })
  const client = (await RawClient.connect(port)).get('/')
  stream.push('first ')
  await client.until(received => received.includes('first'))
  const closed = closing(app)
  stream.push('last')
  stream.push(null)
  assert.equal((await client.reply()).body, 'first last')
  await client.closed
  assert.ok(await closed < 1_000)
})

test('close() destroys half a request and a hung handler at closeTimeout', async t => {
  const { app, port } = await serve(t, { closeTimeout: 200 }, app => { app.get('/', () => new Promise(() => {})) })
  const half = (await RawClient.connect(port)).send('GET / HTTP/1.1\r\nHost: t\r\n')
  const hung = (await RawClient.connect(port)).get('/')
  await new Promise(resolve => setTimeout(resolve, 20))
  const took = await closing(app)
  assert.ok(took >= 190 && took < 1_500, `${took} ms`)
  await Promise.all([half.closed, hung.closed])
})

test('close() alone drains: it serves 200 for drainDelay, then closes', async t => {
  const { app, port } = await serve(t, { drainDelay: 150 }, app => { app.get('/', async () => 'ok') })
  const closed = closing(app)
  await eventually(() => app.lifecycle.draining, 'draining')
  const during = await (await RawClient.connect(port)).get('/').reply()
  assert.deepEqual([during.status, during.headers.connection], [200, 'close'])
  assert.equal((await (await RawClient.connect(port)).get('/readyz').reply()).status, 503)
  const took = await closed
  assert.ok(took >= 140 && took < 1_500, `${took} ms`)
})

test('close() waits for replies on secondary listeners', async t => {
  localhostHasTwoAddresses(t)
  const gate = deferred()
  const app = Fastify(serverOptions())
  t.after(() => app.close())
  await app.register(lifecycle)
  app.get('/', async () => { await gate.promise; return 'secondary' })
  await app.listen({ port: 0, host: 'localhost' })
  const [, secondary] = listenersOf(app)
  const { port, address } = secondary!.address() as any
  const net = await import('node:net')
  const socket = net.connect(port, address)
  let received = ''
  socket.on('data', data => { received += data })
  socket.write('GET / HTTP/1.1\r\nHost: t\r\n\r\n')
  await new Promise(resolve => secondary!.once('request', resolve))
  let closed = false
  const close = app.close().then(() => { closed = true })
  await new Promise(resolve => setTimeout(resolve, 30))
  assert.equal(closed, false)
  gate.resolve()
  await close
  await eventually(() => received.includes('secondary'), 'the reply arrived')
})

test('a drainDelay that Fastify would not wait for fails at boot', async () => {
  await assert.rejects(async () => { await Fastify().register(lifecycle, { drainDelay: 10_000 }) }, { code: 'FST_SURGE_BAD_OPTION', message: /pluginTimeout \(10000\)/ })
  await Fastify({ pluginTimeout: 30_000 }).register(lifecycle, { drainDelay: 10_000 })
})

test('bad options fail at boot', async () => {
  await assert.rejects(async () => { await Fastify().register(lifecycle, { livez: 'livez' }) }, { message: /`lifecycle.livez` to be a path that begins with '\/', or false, got 'livez'/ })
  await assert.rejects(async () => { await Fastify().register(lifecycle, { livez: '/x', readyz: '/x' }) }, { message: /differ/ })
  for (const [options, message] of [
    [{ readyz: { saturation: 0 } }, /`lifecycle.readyz.saturation` to be a number above 0 and at most 1, or false, got 0/],
    [{ readyz: { satuation: 1 } }, /Did you mean `saturation`/],
    [{ port: 70_000 }, /`lifecycle.port` to be an integer from 0 to 65535/],
    [{ port: { host: '::' } }, /`lifecycle.port.port` to be an integer/],
    [{ signals: ['SIGKILL'] }, /`lifecycle.signals` to be true or false, or a list of 'SIGTERM'/]
  ] as Array<[any, RegExp]>) await assert.rejects(async () => { await Fastify().register(lifecycle, options) }, { code: 'FST_SURGE_BAD_OPTION', message })
  await assert.rejects(async () => { await Fastify().register(lifecycle, { redyz: '/x' } as any) }, { message: /Did you mean `readyz`/ })
})

test('an app that never listened closes at once', async () => {
  const app = Fastify(serverOptions())
  await app.register(lifecycle)
  await app.ready()
  assert.ok(await closing(app) < 1_000)
})

test('HTTP/2 sessions end with close()', async t => {
  const http2 = await import('node:http2')
  const app = Fastify(serverOptions({ http2: true }))
  await app.register(lifecycle)
  app.get('/', async () => 'ok')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = http2.connect(`http://127.0.0.1:${(app.server.address() as any).port}`)
  t.after(() => session.destroy())
  const stream = session.request({ ':path': '/' }).resume()
  await new Promise(resolve => stream.once('end', resolve))
  assert.ok(await closing(app as any) < 1_000)
})

test('pipelined requests in flight when draining begins are all answered', async t => {
  const gates = [deferred(), deferred(), deferred()]
  let began = 0
  const { app, port } = await serve(t, { drainDelay: 100 }, app => {
    app.get<{ Params: { n: number } }>('/:n', async request => { began++; await gates[request.params.n]!.promise; return `reply ${request.params.n}` })
  })
  const client = (await RawClient.connect(port)).get('/0').get('/1').get('/2')
  await eventually(() => began === 3, 'all three run')
  const closed = closing(app)
  // Out of order: the second is ready while the first one is not.
  for (const n of [1, 0, 2]) gates[n]!.resolve()
  for (const n of [0, 1, 2]) assert.equal((await client.reply()).body, `reply ${n}`)
  await client.closed
  assert.ok(await closed < 2_000)
})

test('what a client pipelines behind the last reply is not begun: it could not be answered', async t => {
  const gate = deferred()
  let began = 0
  const { app, port } = await serve(t, {}, app => {
    app.get('/stream', (_request, reply) => {
      began++
      const stream = new Readable({ read () {} })
      stream.push('first ')
      gate.promise.then(() => { stream.push('last'); stream.push(null) })
      reply.type('text/plain').send(stream)
    })
    app.get('/', async () => { began++; return 'lost' })
  })
  await app.lifecycle.drain()
  const client = (await RawClient.connect(port)).get('/stream')
  await client.until(received => received.includes('first'))
  client.get('/')
  // The same connection is read in order, so a request on another one that comes later is behind it.
  await (await RawClient.connect(port)).get('/livez').reply()
  gate.resolve()
  const reply = await client.reply()
  assert.deepEqual([reply.body, reply.headers.connection], ['first last', 'close'])
  await client.closed
  assert.equal(began, 1)
})

test('the signal aborts behind drainDelay, for as many listeners as there are streams, and a stream that heeds it ends close() at once', async t => {
  const warnings: Error[] = []
  const note = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', note)
  t.after(() => process.removeListener('warning', note))
  const { app, port } = await serve(t, { drainDelay: 60 }, app => {
    app.get('/events', (_request, reply) => {
      const stream = new Readable({ read () {} })
      stream.push('data: 1\n\n')
      app.lifecycle.signal.addEventListener('abort', () => stream.push(null), { once: true })
      reply.type('text/event-stream').send(stream)
    })
  })
  const clients = await Promise.all(Array.from({ length: 20 }, async () => (await RawClient.connect(port)).get('/events')))
  await Promise.all(clients.map(client => client.until(received => received.includes('data: 1'))))
  const drained = app.lifecycle.drain()
  assert.equal(app.lifecycle.signal.aborted, false)
  await drained
  assert.equal(app.lifecycle.signal.aborted, true)
  assert.equal((app.lifecycle.signal.reason as any).code, 'FST_SURGE_DRAINING')
  for (const client of clients) assert.equal((await client.reply()).body, 'data: 1\n\n')
  assert.ok(await closing(app) < 2_000)
  assert.deepEqual(warnings, [])
})

test('event streams and upgrades that do not heed it are ended one after the other, well before closeTimeout; a download is not', async t => {
  const download = new Readable({ read () {} })
  const { app, port } = await serve(t, { closeTimeout: 4_000 }, app => {
    app.get('/sent', (_request, reply) => reply.type('text/event-stream').send(endless()))
    app.get('/raw', (_request, reply) => { reply.raw.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: 1\n\n') })
    app.get('/socket', (request, reply) => { reply.hijack(); request.raw.socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n') })
    app.get('/download', (_request, reply) => reply.type('text/plain').send(download))
  })
  const lasting = [
    (await RawClient.connect(port)).get('/sent'),
    (await RawClient.connect(port)).get('/raw'),
    (await RawClient.connect(port)).get('/socket', 'Connection: Upgrade\r\nUpgrade: test\r\n')
  ]
  const other = (await RawClient.connect(port)).get('/download')
  download.push('first ')
  await Promise.all([...lasting, other].map(client => client.until(received => received.includes('\r\n\r\n'))))
  const ended: number[] = []
  const began = performance.now()
  for (const client of lasting) client.closed.then(() => ended.push(performance.now() - began))
  const closed = closing(app)
  await Promise.all(lasting.map(client => client.closed))
  ended.sort((a, b) => a - b)
  // Due at 1, 2 and 3 s.
  assert.ok(ended[0]! < ended[2]! - 1_000 && ended[2]! < 3_900, String(ended))
  download.push('last')
  download.push(null)
  assert.equal((await other.reply()).body, 'first last')
  assert.ok(await closed < 4_900)
})

test('an injected event stream ends with close(), whether the server listened or not', async t => {
  for (const listens of [false, true]) {
    const app = Fastify(serverOptions())
    t.after(() => app.close())
    await app.register(lifecycle, { closeTimeout: 400 })
    app.get('/sent', (_request, reply) => reply.type('text/event-stream').send(endless()))
    app.get('/hangs', () => new Promise(() => {}))
    if (listens) {
      // close() waits for its reply, so that the stream is ended in its turn.
      const client = (await RawClient.connect(await listen(app))).get('/hangs')
      t.after(() => client.end())
    }
    const injected = (await app.inject({ url: '/sent', payloadAsStream: true })).stream()
    injected.on('error', () => {})
    const ended = new Promise(resolve => injected.once('close', resolve))
    injected.resume()
    await app.close()
    await ended
  }
})

function endless (): Readable {
  const stream = new Readable({ read () {} })
  stream.push('data: 1\n\n')
  return stream
}

test('probes on a port of their own, and other paths that a plugin puts there; none on the app', async t => {
  const { app, port } = await serve(t, { port: { port: 0, host: '127.0.0.1' } }, app => {
    app.get('/livez', async () => 'mine')
    const side = sidePathsOf(app.server)
    assert.equal(side.served, true)
    side.handlers.set('/metrics', (_request, response) => response.end('m 1'))
  })
  // A connection each: one client could keep all that there are.
  const ask = async (send: (client: RawClient) => void) => {
    const client = await RawClient.connect(app.lifecycle.port!)
    send(client)
    return await client.reply()
  }
  for (const [path, status, body] of [['/livez', 200, '{"status":"ok"}'], ['/readyz?x', 200, '{"status":"ok"}'], ['/metrics', 200, 'm 1'], ['/', 404, '{"statusCode":404,"error":"Not Found"}']] as const) {
    const reply = await ask(client => client.get(path))
    assert.deepEqual([reply.status, reply.body, path === '/metrics' || reply.headers.connection], [status, body, path === '/metrics' || 'close'])
  }
  assert.equal((await ask(client => client.post('/livez', '{}'))).status, 405)
  const client = await RawClient.connect(port)
  assert.equal((await client.get('/livez').reply()).body, 'mine')
  assert.equal((await client.get('/readyz').reply()).status, 404)
  const drained = app.lifecycle.drain()
  const probe = await (await RawClient.connect(app.lifecycle.port!)).get('/readyz').reply()
  assert.deepEqual([probe.status, probe.headers['cache-control']], [503, 'no-store'])
  await drained
  await app.close()
  assert.equal(app.lifecycle.port, undefined)
})

test('before the app listens, its own listener for probes says so; a port that is taken fails the start', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(lifecycle, { port: { port: 0, host: '127.0.0.1' } })
  await app.ready()
  const probe = async (path: string) => (await (await RawClient.connect(app.lifecycle.port!)).get(path).reply()).status
  assert.deepEqual([await probe('/livez'), await probe('/readyz')], [200, 503])
  await listen(app)
  assert.equal(await probe('/readyz'), 200)
  const second = Fastify()
  t.after(() => second.close())
  await second.register(lifecycle, { port: { port: app.lifecycle.port!, host: '127.0.0.1' } })
  await assert.rejects(async () => { await second.ready() }, { code: 'EADDRINUSE' })
})

test('readyz.saturation: not ready while too many are refused, liveness never asks', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { readyz: { saturation: 0.5 } }, app => {
    app.register(concurrency, { limit: 1, maxQueue: 0 })
    app.get('/', async () => { await gate.promise; return 'ok' })
  })
  const holder = (await RawClient.connect(port)).get('/')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const client = await RawClient.connect(port)
  assert.equal((await client.get('/readyz').reply()).status, 200)
  for (let i = 0; i < 25; i++) assert.equal((await client.get('/').reply()).status, 503)
  assert.equal(app.lifecycle.ready, false)
  assert.equal((await client.get('/readyz').reply()).status, 503)
  assert.equal((await client.get('/livez').reply()).status, 200)
  gate.resolve()
  await holder.reply()
})

test('100 servers that were closed leave no listener and no timer behind', async () => {
  const events = ['SIGTERM', 'SIGINT', 'exit', 'beforeExit', 'warning', 'uncaughtException', 'unhandledRejection']
  const count = (): object => ({ ...Object.fromEntries(events.map(event => [event, process.listenerCount(event)])), ...resources() })
  async function cycle (listens: boolean): Promise<void> {
    const app = Fastify(serverOptions())
    await app.register(surge, { lifecycle: { signals: true, drainDelay: 0, port: { port: 0, host: '127.0.0.1' } } })
    app.get('/', async () => 'ok')
    if (listens) {
      const client = (await RawClient.connect(await listen(app))).get('/')
      await client.reply()
      await app.close()
      await client.closed
    } else {
      await app.ready()
      await app.close()
    }
  }
  function resources (): object {
    const kinds = process.getActiveResourcesInfo().filter(kind => kind === 'TCPServerWrap' || kind === 'TCPSocketWrap' || kind === 'Timeout')
    return { resources: kinds.length }
  }
  // What a first one sets up for good, such as a pool of threads, is no leak.
  for (const listens of [true, false]) await cycle(listens)
  const before = count()
  for (let i = 0; i < 100; i++) await cycle(i % 4 !== 0)
  await eventually(() => JSON.stringify(count()) === JSON.stringify(before), `${JSON.stringify(before)}, not ${JSON.stringify(count())}`)
})
