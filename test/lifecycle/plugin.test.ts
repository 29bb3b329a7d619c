import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import lifecycle, { type LifecycleOptions } from '../../plugins/lifecycle/index.ts'
import { serverOptions } from '../../plugins/server-defaults/index.ts'
import { listenersOf } from '../../plugins/shared/fastify-internals.ts'
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
