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
  assert.equal(JSON.parse((await queued.reply()).body).code, 'FST_SURGE_DEADLINE')
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

test('bad options and bad route config fail at boot', async () => {
  await assert.rejects(async () => { await Fastify().register(deadline, { timeout: 0 }) }, { code: 'FST_SURGE_BAD_OPTION', message: /`deadline.timeout` to be milliseconds, an integer from 1 to 2147483647, or false, got 0/ })
  const app = Fastify()
  await app.register(deadline)
  assert.throws(() => app.get('/', { config: { deadline: '5s' as any } }, async () => 1), { message: /config.deadline of GET \/.*got '5s'/ })
})
