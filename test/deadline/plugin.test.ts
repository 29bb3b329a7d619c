import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import concurrency from '../../plugins/concurrency/index.ts'
import deadline, { type DeadlineOptions } from '../../plugins/deadline/index.ts'
import { RawClient, deferred, eventually, listen } from '../support/raw-http.ts'

async function serve (t: TestContext, options: DeadlineOptions, routes: (app: FastifyInstance) => void): Promise<{ app: FastifyInstance, port: number, lines: string[] }> {
  const lines: string[] = []
  const app = Fastify({ forceCloseConnections: true, logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } })
  t.after(() => app.close())
  await app.register(deadline, options)
  routes(app)
  return { app, port: await listen(app), lines }
}

test('a handler that does not answer in time is answered for: 503, no Retry-After, no 5xx of another kind', async t => {
  const { port } = await serve(t, { timeout: 40 }, app => { app.get('/', () => new Promise(() => {})) })
  const reply = await (await RawClient.connect(port)).get('/').reply()
  assert.equal(reply.status, 503)
  assert.equal(JSON.parse(reply.body).code, 'FST_SURGE_DEADLINE')
  assert.equal(reply.headers['retry-after'], undefined)
})

test('it holds for a POST with a body, where handlerTimeout does not (fastify#6725, #7033)', async t => {
  let aborted: unknown
  const { port } = await serve(t, { timeout: 60 }, app => {
    app.post('/', async request => {
      request.deadline.signal.addEventListener('abort', () => { aborted = request.deadline.signal.reason })
      await new Promise(resolve => setTimeout(resolve, 120))
      return 'late'
    })
  })
  const client = (await RawClient.connect(port)).post('/', '{"a":1}')
  assert.equal((await client.reply()).status, 503)
  assert.equal((aborted as any).code, 'FST_SURGE_DEADLINE')
})

test('the late reply is dropped: the connection stays usable and nothing is logged as an error', async t => {
  const gate = deferred()
  const { port, lines } = await serve(t, { timeout: 30 }, app => {
    app.get('/slow', async () => { await gate.promise; return 'late' })
    app.get('/fails', async () => { await gate.promise; throw new Error('late failure') })
    app.get('/', async () => 'next')
  })
  const client = await RawClient.connect(port)
  assert.equal((await client.get('/slow').reply()).status, 503)
  assert.equal((await client.get('/fails').reply()).status, 503)
  gate.resolve()
  await new Promise(resolve => setImmediate(resolve))
  assert.equal((await client.get('/').reply()).body, 'next')
  assert.deepEqual(lines.filter(line => !line.includes('refused')), [])
})

test('a handler that fails as soon as its signal aborts does not answer beside the deadline, whatever onSend hooks do', async t => {
  const { app, port, lines } = await serve(t, { timeout: 30 }, app => {
    app.addHook('onSend', async () => { await new Promise(resolve => setTimeout(resolve, 20)) })
    app.setErrorHandler((error, _request, reply) => reply.code(500).header('x-mine', '1').send({ mine: String(error) }))
    app.post('/', request => new Promise((_resolve, reject) => {
      request.deadline.signal.addEventListener('abort', () => reject(request.deadline.signal.reason))
    }))
    app.get('/', async () => 'next')
  })
  const client = await RawClient.connect(port)
  const reply = await client.post('/', '{}').reply()
  assert.deepEqual([reply.status, JSON.parse(reply.body).code, reply.headers['x-mine']], [503, 'FST_SURGE_DEADLINE', undefined])
  assert.equal((await client.get('/').reply()).body, 'next')
  assert.deepEqual(lines.filter(line => !line.includes('refused')), [])
  assert.deepEqual(app.deadline.stats(), { running: 0, exceeded: 1, late: 1 })
})

test('late replies are counted, and what they carry is let go of', async t => {
  const gate = deferred()
  const stream = new Readable({ read () {} })
  const { app, port } = await serve(t, { timeout: 30 }, app => {
    app.get('/', async (_request, reply) => { await gate.promise; return reply.type('text/plain').send(stream) })
    app.get('/never', () => new Promise(() => {}))
  })
  const client = await RawClient.connect(port)
  for (const path of ['/', '/never']) assert.equal((await client.get(path).reply()).status, 503)
  assert.deepEqual(app.deadline.stats(), { running: 0, exceeded: 2, late: 0 })
  gate.resolve()
  await eventually(() => stream.destroyed, 'the stream is destroyed')
  assert.deepEqual(app.deadline.stats(), { running: 0, exceeded: 2, late: 1 })
})

test('a handler that writes by hand in a callback, too late, neither throws nor reaches the next reply', async t => {
  const wrote = deferred()
  const { app, port, lines } = await serve(t, { timeout: 30 }, app => {
    app.register(concurrency, { limit: 5 })
    app.get('/raw', (_request, reply) => {
      setTimeout(() => {
        reply.raw.setHeader('x-late', '1')
        reply.raw.writeHead(200, { 'content-type': 'text/plain' })
        reply.raw.write('late', () => wrote.resolve())
        reply.raw.end()
      }, 60)
    })
    app.get('/', async () => 'next')
  })
  const client = await RawClient.connect(port)
  assert.equal((await client.get('/raw').reply()).status, 503)
  await wrote.promise
  await eventually(() => app.concurrency.stats().inflight === 0, 'its slot is back')
  assert.equal((await client.get('/').reply()).body, 'next')
  assert.deepEqual(lines.filter(line => !line.includes('refused')), [])
})

test('a budget header that was named shortens the deadline, of a POST too, and never lengthens it', async t => {
  const { port } = await serve(t, { timeout: 5_000, header: 'X-Envoy-Expected-Rq-Timeout-Ms' }, app => {
    app.get('/left', async request => request.deadline.remaining())
    app.get('/none', { config: { deadline: false } }, async request => ({ left: request.deadline.remaining() }))
    app.post('/', () => new Promise(() => {}))
  })
  const client = await RawClient.connect(port)
  const budget = (value: string) => `x-envoy-expected-rq-timeout-ms: ${value}\r\n`
  const reply = await client.post('/', '{"a":1}', budget('40')).reply()
  assert.deepEqual([reply.status, JSON.parse(reply.body).code], [503, 'FST_SURGE_DEADLINE'])
  const left = async (value: string) => Number((await client.get('/left', budget(value)).reply()).body)
  const shortened = await left('2000')
  assert.ok(shortened > 1_000 && shortened <= 2_000, String(shortened))
  for (const value of ['60000', '0', '-1', '1e3', '1s', '']) assert.ok(await left(value) > 3_000, value)
  assert.equal((await client.get('/none', budget('1')).reply()).body, '{"left":null}')
})

test('nobody is trusted with a budget header that was not named', async t => {
  const { port } = await serve(t, { timeout: 5_000 }, app => { app.get('/', async request => request.deadline.remaining()) })
  const client = (await RawClient.connect(port)).get('/', 'x-envoy-expected-rq-timeout-ms: 1\r\n')
  assert.ok(Number((await client.reply()).body) > 3_000)
})

test('a budget stands still, as the deadline does, while the body comes in', async t => {
  const { port } = await serve(t, { header: 'x-budget' }, app => { app.post('/', async () => 'in time') })
  const client = (await RawClient.connect(port)).send('POST / HTTP/1.1\r\nHost: t\r\nX-Budget: 300\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n')
  for (const byte of '{"a":"b"}') {
    await new Promise(resolve => setTimeout(resolve, 50))
    client.send(byte)
  }
  assert.equal((await client.reply()).body, 'in time')
})

test('app.deadline exists already: a clash that says so', async () => {
  const app = Fastify()
  app.decorate('deadline', 1 as any)
  await assert.rejects(async () => { await app.register(deadline) }, { code: 'FST_SURGE_CLASH', message: /app\.deadline/ })
})

test('the slot stays with the gate until the late handler settles, and no longer', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { timeout: 30 }, app => {
    app.register(concurrency, { limit: 5 })
    app.get('/resolves', async () => { await gate.promise; return 'late' })
    app.get('/rejects', async () => { await gate.promise; throw new Error('late') })
  })
  const clients = [(await RawClient.connect(port)).get('/resolves'), (await RawClient.connect(port)).get('/rejects')]
  for (const client of clients) assert.equal((await client.reply()).status, 503)
  await eventually(() => app.concurrency.stats().orphans === 2, 'two orphans')
  gate.resolve()
  await eventually(() => app.concurrency.stats().inflight === 0, 'both given back')
})

test('time in the queue counts, and a queued request that is over never reaches its handler', async t => {
  const gate = deferred()
  let ran = 0
  const { app, port } = await serve(t, { timeout: 60 }, app => {
    app.register(concurrency, { limit: 1, maxWait: 60_000 })
    app.get('/hold', { config: { deadline: false } }, async () => { await gate.promise; return 'ok' })
    app.get('/', async () => { ran++; return 'ok' })
  })
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const queued = (await RawClient.connect(port)).get('/')
  const reply = await queued.reply()
  assert.equal(JSON.parse(reply.body).code, 'FST_SURGE_DEADLINE')
  assert.match(reply.headers['retry-after']!, /^[1-3]$/, 'nothing has begun that could be done twice')
  await eventually(() => app.concurrency.stats().queued === 0, 'left the queue')
  gate.resolve()
  assert.equal((await holder.reply()).body, 'ok')
  assert.equal(ran, 0)
})

test('a body that is still coming in does not use the time up', async t => {
  const { port } = await serve(t, { timeout: 80 }, app => { app.post('/', async request => ({ remaining: Math.round(request.deadline.remaining()) })) })
  const client = (await RawClient.connect(port)).send('POST / HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n')
  for (const byte of '{"a":"b"}') {
    await new Promise(resolve => setTimeout(resolve, 20))
    client.send(byte)
  }
  const reply = await client.reply()
  assert.equal(reply.status, 200)
  assert.ok(JSON.parse(reply.body).remaining > 40, reply.body)
})

test('a reply whose first byte is out is not cut', async t => {
  const stream = new Readable({ read () {} })
  const { port } = await serve(t, { timeout: 40 }, app => { app.get('/', (_request, reply) => reply.type('text/plain').send(stream)) })
  const client = (await RawClient.connect(port)).get('/')
  stream.push('first ')
  await client.until(received => received.includes('first'))
  await new Promise(resolve => setTimeout(resolve, 80))
  stream.push('last')
  stream.push(null)
  assert.equal((await client.reply()).body, 'first last')
})

test('a hijacked reply has no deadline', async t => {
  const { port } = await serve(t, { timeout: 30 }, app => {
    app.get('/', (_request, reply) => {
      reply.hijack()
      setTimeout(() => reply.raw.end('by hand'), 80)
    })
  })
  const client = (await RawClient.connect(port)).get('/')
  assert.equal((await client.reply()).status, 200)
})

test('the signal aborts when the client leaves, for a POST too, and not after an ordinary end', async t => {
  const signals: AbortSignal[] = []
  const { port } = await serve(t, {}, app => {
    app.post('/hang', request => { signals.push(request.deadline.signal); return new Promise(() => {}) })
    app.get('/ok', async request => { signals.push(request.deadline.signal); return 'ok' })
  })
  const client = (await RawClient.connect(port)).post('/hang', '{}')
  await eventually(() => signals.length === 1, 'handler runs')
  assert.equal(signals[0]!.aborted, false)
  client.reset()
  await eventually(() => signals[0]!.aborted, 'aborted')
  const other = await RawClient.connect(port)
  await other.get('/ok').reply()
  other.end()
  await other.closed
  assert.equal(signals[1]!.aborted, false)
})

test('routes override it, false turns it off but keeps the signal', async t => {
  const { port } = await serve(t, { timeout: 30 }, app => {
    app.get('/longer', { config: { deadline: 5_000 } }, async request => { await new Promise(resolve => setTimeout(resolve, 60)); return { left: request.deadline.remaining() > 1_000 } })
    app.get('/none', { config: { deadline: false } }, async request => { await new Promise(resolve => setTimeout(resolve, 60)); return { left: request.deadline.remaining() === Infinity, signal: request.deadline.signal.aborted } })
  })
  const client = await RawClient.connect(port)
  assert.equal((await client.get('/longer').reply()).body, '{"left":true}')
  assert.equal((await client.get('/none').reply()).body, '{"left":true,"signal":false}')
})

test('404 handlers have a deadline too, which handlerTimeout does not give them', async t => {
  const { port } = await serve(t, { timeout: 30 }, app => { app.setNotFoundHandler(() => new Promise(() => {})) })
  assert.equal((await (await RawClient.connect(port)).get('/nowhere').reply()).status, 503)
})

test('in a dry run it counts and logs, and answers for nobody, nor does a gate because of it', async t => {
  const gate = deferred()
  const { app, port, lines } = await serve(t, { timeout: 20, dryRun: true }, app => {
    app.register(concurrency, { rate: { perSecond: 20, burst: 1 }, maxWait: 60_000 })
    app.get('/', async request => { await gate.promise; return { aborted: request.deadline.signal.aborted } })
  })
  const clients = [(await RawClient.connect(port)).get('/'), (await RawClient.connect(port)).get('/')]
  await eventually(() => lines.some(line => line.includes('would refuse')), 'over')
  gate.resolve()
  for (const client of clients) assert.equal((await client.reply()).body, '{"aborted":false}')
  assert.equal(app.deadline.stats().exceeded, 0)
})

test('bad options and bad route config fail at boot', async () => {
  await assert.rejects(async () => { await Fastify().register(deadline, { timeout: 0 }) }, { code: 'FST_SURGE_BAD_OPTION', message: /`deadline.timeout` to be milliseconds, an integer from 1 to 2147483647, or false, got 0/ })
  await assert.rejects(async () => { await Fastify().register(deadline, { header: 'x budget' }) }, { message: /`deadline.header` to be the name of a header, or false, got 'x budget'/ })
  await assert.rejects(async () => { await Fastify().register(deadline, { dryRun: 1 as any }) }, { message: /`deadline.dryRun` to be true or false, got 1/ })
  const app = Fastify()
  await app.register(deadline)
  assert.throws(() => app.get('/', { config: { deadline: '5s' as any } }, async () => 1), { message: /config.deadline of GET \/.*got '5s'/ })
})
