import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import concurrency, { type ConcurrencyOptions } from '../../plugins/concurrency/index.ts'
import deadline from '../../plugins/deadline/index.ts'
import { RawClient, deferred, eventually, listen } from '../support/raw-http.ts'

async function serve (t: TestContext, options: ConcurrencyOptions, routes: (app: FastifyInstance) => void): Promise<{ app: FastifyInstance, port: number }> {
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  await app.register(concurrency, options)
  routes(app)
  return { app, port: await listen(app) }
}

function atRest (app: FastifyInstance, group?: string): boolean {
  const { inflight, queued, orphans } = app.concurrency.stats(group)
  return inflight === 0 && queued === 0 && orphans === 0
}

test('the request past limit and queue gets a prepared 503 with Retry-After and keeps its connection', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { limit: 1, maxQueue: 0 }, app => {
    app.get('/', async () => { await gate.promise; return 'done' })
  })
  const first = (await RawClient.connect(port)).get('/')
  await eventually(() => app.concurrency.stats().inflight === 1, 'first admitted')
  const second = (await RawClient.connect(port)).get('/')
  const refused = await second.reply()
  assert.equal(refused.status, 503)
  assert.equal(JSON.parse(refused.body).code, 'FST_SURGE_QUEUE_FULL')
  assert.match(refused.headers['retry-after']!, /^[1-9]\d*$/)
  assert.equal(refused.headers['cache-control'], 'no-store')
  gate.resolve()
  assert.equal((await first.reply()).body, 'done')
  assert.equal((await second.get('/').reply()).status, 200)
  await eventually(() => atRest(app), 'at rest')
})

test('a refusal carries what earlier hooks have set, and passes the onSend hooks of an app that has some', async t => {
  async function refusedBy (declare: (app: FastifyInstance) => void) {
    const app = Fastify()
    t.after(() => app.close())
    app.addHook('onRequest', async (_request, reply) => { reply.header('x-request-id', 'one').raw.setHeader('x-raw', 'two') })
    await app.register(concurrency)
    declare(app)
    app.get('/', async () => 'served')
    const client = await RawClient.connect(await listen(app))
    app.concurrency.drain().catch(assert.ifError)
    const reply = await client.get('/').reply()
    assert.equal(reply.status, 503)
    assert.equal(JSON.parse(reply.body).code, 'FST_SURGE_DRAINING')
    assert.deepEqual([reply.headers['x-request-id'], reply.headers['x-raw']], ['one', 'two'])
    assert.equal(reply.headers['content-type'], 'application/json; charset=utf-8')
    return reply
  }
  assert.equal((await refusedBy(() => {})).headers['x-seen'], undefined)
  const seen = await refusedBy(app => {
    app.addHook('onSend', async (_request, reply, payload) => {
      reply.header('x-seen', 'yes')
      return payload
    })
  })
  assert.equal(seen.headers['x-seen'], 'yes')
})

test('Retry-After is spread, so that those refused together do not come back together', async t => {
  const { app, port } = await serve(t, { limit: 1, maxQueue: 0 }, app => { app.get('/', () => new Promise(() => {})) })
  const holder = (await RawClient.connect(port)).get('/')
  t.after(() => holder.end())
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const client = await RawClient.connect(port)
  const seen = new Set<string>()
  for (let i = 0; i < 60; i++) seen.add((await client.get('/').reply()).headers['retry-after']!)
  assert.ok(seen.size > 1, `always ${[...seen]}`)
})

test('a waiter is answered 503 FST_SURGE_QUEUE_TIMEOUT after maxWait', async t => {
  const { app, port } = await serve(t, { limit: 1, maxWait: 30 }, app => { app.get('/', () => new Promise(() => {})) })
  const holder = (await RawClient.connect(port)).get('/')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const reply = await (await RawClient.connect(port)).get('/').reply()
  assert.equal(JSON.parse(reply.body).code, 'FST_SURGE_QUEUE_TIMEOUT')
  holder.end()
})

test('the handler of a client that left while queued never runs', async t => {
  const gate = deferred()
  let ran = 0
  const { app, port } = await serve(t, { limit: 1, maxWait: 60_000 }, app => {
    app.get('/hold', async () => { await gate.promise; return 'ok' })
    app.get('/counted', async () => { ran++; return 'ok' })
  })
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const gone = (await RawClient.connect(port)).get('/counted')
  await eventually(() => app.concurrency.stats().queued === 1, 'queued')
  gone.reset()
  await eventually(() => app.concurrency.stats().queued === 0, 'left the queue')
  gate.resolve()
  await holder.reply()
  await eventually(() => atRest(app), 'at rest')
  assert.equal(ran, 0)
  assert.equal(app.concurrency.stats().gone, 1)
})

test('a queued POST with a large unread body is gone within maxWait, although its socket is paused', async t => {
  let ran = 0
  const { app, port } = await serve(t, { limit: 1, maxWait: 50 }, app => {
    app.get('/hold', () => new Promise(() => {}))
    app.post('/', { bodyLimit: 1e7 }, async () => { ran++; return 'ok' })
  })
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const gone = (await RawClient.connect(port)).post('/', JSON.stringify('x'.repeat(2 << 20)))
  await eventually(() => app.concurrency.stats().queued === 1, 'queued')
  gone.reset()
  await eventually(() => app.concurrency.stats().queued === 0, 'gone')
  assert.equal(ran, 0)
  holder.end()
})

test('a handler that goes on without its client is an orphan, and holds its slot until it settles', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { limit: 1 }, app => {
    app.post('/', async () => { await gate.promise; return 'late' })
  })
  const client = (await RawClient.connect(port)).post('/', '{}')
  await eventually(() => app.concurrency.stats().inflight === 1, 'runs')
  client.reset()
  await eventually(() => app.concurrency.stats().orphans === 1, 'orphaned')
  assert.equal(app.concurrency.stats().inflight, 1)
  gate.resolve()
  await eventually(() => atRest(app), 'at rest (fastify#6208: onResponse never runs for it)')
})

test('the slot of a handler that never settles is taken back at orphanTimeout', async t => {
  const { app, port } = await serve(t, { limit: 1, orphanTimeout: 40 }, app => { app.get('/', () => new Promise(() => {})) })
  const client = (await RawClient.connect(port)).get('/')
  await eventually(() => app.concurrency.stats().inflight === 1, 'runs')
  client.reset()
  await eventually(() => atRest(app), 'taken back')
  assert.equal(app.concurrency.stats().orphansTimedOut, 1)
})

test('pipelined requests of an aborted connection give back every slot', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { limit: 100, orphanTimeout: 60_000 }, app => { app.get('/', async () => { await gate.promise; return 'ok' }) })
  const client = await RawClient.connect(port)
  for (let i = 0; i < 20; i++) client.get('/')
  await eventually(() => app.concurrency.stats().inflight === 20, 'all run')
  client.reset()
  await eventually(() => app.concurrency.stats().orphans === 20, 'all orphaned')
  gate.resolve()
  await eventually(() => atRest(app), 'at rest')
})

test('an ordinary stream holds its slot to its end; its abort gives it back', async t => {
  const stream = new Readable({ read () {} })
  const { app, port } = await serve(t, { limit: 5 }, app => {
    app.get('/', (_request, reply) => reply.type('text/plain').send(stream))
    app.get('/silent', (_request, reply) => reply.type('text/plain').send(new Readable({ read () {} })))
  })
  const client = (await RawClient.connect(port)).get('/')
  stream.push('first')
  await client.until(received => received.includes('first'))
  assert.equal(app.concurrency.stats().inflight, 1)
  stream.push(null)
  assert.equal((await client.reply()).body, 'first')
  await eventually(() => atRest(app), 'at rest after the end')
  const aborted = (await RawClient.connect(port)).get('/silent')
  await eventually(() => app.concurrency.stats().inflight === 1, 'runs')
  aborted.reset()
  await eventually(() => atRest(app), 'at rest after the abort, although no byte was sent')
})

test('an event stream, a hijacked reply and a raw writer give their slot back at the first byte', async t => {
  const { app, port } = await serve(t, { limit: 1, maxQueue: 0 }, app => {
    app.get('/sse', (_request, reply) => {
      const events = new Readable({ read () {} })
      events.push('data: 1\n\n')
      return reply.header('content-type', 'text/event-stream').send(events)
    })
    app.get('/hijacked', (_request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200)
      reply.raw.write('x')
    })
    app.get('/raw', (_request, reply) => { reply.raw.write('x') })
  })
  for (const path of ['/sse', '/hijacked', '/raw']) {
    const client = (await RawClient.connect(port)).get(path)
    await client.until(received => received.includes('\r\n\r\n'))
    assert.equal(app.concurrency.stats().inflight, 0, path)
    client.reset()
  }
})

test('an upgrade gives its slot back when it is taken over', async t => {
  const { app, port } = await serve(t, { limit: 1 }, app => {
    app.get('/ws', (_request, reply) => {
      reply.hijack()
      reply.raw.socket!.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    })
  })
  const client = (await RawClient.connect(port)).get('/ws', 'Connection: Upgrade\r\nUpgrade: echo\r\n')
  await client.until(received => received.includes('101'))
  assert.equal(app.concurrency.stats().inflight, 0)
  client.end()
})

test('errors, 404s, HEAD, schema errors and failing hooks give their slot back', async t => {
  const { app, port } = await serve(t, { limit: 1, maxQueue: 0 }, app => {
    app.get('/throws', async () => { throw new Error('boom') })
    app.get('/ok', async () => 'ok')
    app.post('/schema', { schema: { body: { type: 'object', required: ['a'] } } }, async () => 'ok')
    app.get('/hook', { preHandler: async () => { throw new Error('no') } }, async () => 'ok')
    app.get('/onsend', { onSend: async () => { throw new Error('no') } }, async () => 'ok')
  })
  const client = await RawClient.connect(port)
  const statuses = []
  for (const path of ['/throws', '/nowhere', '/ok', '/hook', '/onsend']) {
    statuses.push((await client.get(path).reply()).status)
    await eventually(() => atRest(app), path)
  }
  statuses.push((await client.post('/schema', '{}').reply()).status)
  await eventually(() => atRest(app), 'schema')
  statuses.push((await client.post('/schema', '{').reply()).status)
  await eventually(() => atRest(app), 'bad JSON')
  assert.deepEqual(statuses, [500, 404, 200, 500, 500, 400, 400])
  const head = (await RawClient.connect(port)).send('HEAD /ok HTTP/1.1\r\nHost: test\r\n\r\n')
  await head.until(received => received.includes('\r\n\r\n'))
  await eventually(() => atRest(app), 'HEAD')
})

test('2,000 aborted requests of every kind leave all counters at zero, and no queued one ran', async t => {
  let ran = 0
  const { app, port } = await serve(t, { limit: 8, maxQueue: 50, maxWait: 200 }, app => {
    async function work () {
      ran++
      await new Promise(resolve => setTimeout(resolve, 3))
      return { ok: true }
    }
    app.get('/', work)
    app.post('/', work)
  })
  const kinds = [
    (client: RawClient) => client.get('/'),
    (client: RawClient) => client.post('/', '{"a":1}'),
    (client: RawClient) => client.send('POST / HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"half":'),
    (client: RawClient) => client.get('/').get('/').post('/', '{}').get('/')
  ]
  for (let batch = 0; batch < 40; batch++) {
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const client = await RawClient.connect(port)
      kinds[i % kinds.length]!(client)
      if (i % 3 > 0) await new Promise(resolve => setImmediate(resolve))
      if (i % 2 === 0) client.reset()
      else client.end()
      await client.closed
    }))
  }
  await eventually(() => atRest(app), 'at rest after 2,000 aborts')
  const { admitted, gone, shed } = app.concurrency.stats()
  assert.ok(gone + shed.queue_full + shed.queue_timeout > 0, 'some were queued when they left')
  assert.ok(ran <= admitted, `${ran} handlers for ${admitted} admitted`)
  const after = await (await RawClient.connect(port)).get('/').reply()
  assert.equal(after.status, 200)
})

test('groups have gates of their own; config.concurrency false has none', async t => {
  const { app, port } = await serve(t, { groups: { reports: { limit: 1, maxQueue: 0 } } }, app => {
    app.get('/report', { config: { concurrency: 'reports' } }, () => new Promise(() => {}))
    app.get('/other', async () => 'ok')
    app.get('/free', { config: { concurrency: false } }, async () => app.concurrency.stats().inflight)
  })
  const holder = (await RawClient.connect(port)).get('/report')
  await eventually(() => app.concurrency.stats('reports').inflight === 1, 'held')
  const client = await RawClient.connect(port)
  assert.equal((await client.get('/report').reply()).status, 503)
  assert.equal((await client.get('/other').reply()).status, 200)
  assert.equal((await client.get('/free').reply()).body, '0')
  holder.end()
})

test('a route may fix its priority, or take it from the request', async t => {
  const gates = [deferred(), deferred()]
  const order: string[] = []
  const { app, port } = await serve(t, { limit: 1, maxWait: 60_000, priority: request => request.headers['x-low'] ? 2 : 1 }, app => {
    app.get('/hold', async () => { await gates[0]!.promise; return 'ok' })
    app.get('/critical', { config: { concurrency: { priority: 0 } } }, async () => { order.push('critical'); return 'ok' })
    app.get('/plain', async request => { order.push(request.headers['x-low'] ? 'low' : 'normal'); return 'ok' })
  })
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const clients = [
    (await RawClient.connect(port)).get('/plain', 'X-Low: 1\r\n'),
    (await RawClient.connect(port)).get('/plain'),
    (await RawClient.connect(port)).get('/critical')
  ]
  await eventually(() => app.concurrency.stats().queued === 3, 'all wait')
  gates[0]!.resolve()
  await Promise.all([holder, ...clients].map(client => client.reply()))
  assert.deepEqual(order, ['critical', 'normal', 'low'])
})

test('a priority that is none counts as normal: what a client sends cannot end the process', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { limit: 1, maxWait: 60_000, priority: request => Number(request.headers['x-priority'] ?? 1) as 0 }, app => {
    app.get('/', async () => { await gate.promise; return 'ok' })
  })
  const holder = (await RawClient.connect(port)).get('/')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const others = await Promise.all(['9', '-1', 'NaN', '1.5'].map(async priority => (await RawClient.connect(port)).get('/', `X-Priority: ${priority}\r\n`)))
  await eventually(() => app.concurrency.stats().queued === 4, 'all wait')
  others[0]!.reset()
  await eventually(() => app.concurrency.stats().gone === 1, 'one left')
  gate.resolve()
  for (const client of [holder, ...others.slice(1)]) assert.equal((await client.reply()).status, 200)
})

test('an async priority or key function says nothing in time, and ends no process when it fails', async t => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => { unhandled.push(reason) }
  process.on('unhandledRejection', listener)
  t.after(() => { process.off('unhandledRejection', listener) })
  const late = (): never => Promise.reject(new Error('too late')) as never
  const { port } = await serve(t, { maxPerKey: 1, priority: late, key: late }, app => { app.get('/', async () => 'ok') })
  const client = await RawClient.connect(port)
  for (let i = 0; i < 2; i++) assert.equal((await client.get('/').reply()).status, 200)
  assert.deepEqual(unhandled, [])
})

test('run() checks its options', async t => {
  const { app } = await serve(t, {}, () => {})
  await assert.rejects(app.concurrency.run(async () => 1, { priority: 9 as 2 }), { code: 'FST_SURGE_BAD_OPTION', message: /priority.*0, 1 or 2, got 9/ })
  await assert.rejects(app.concurrency.run(async () => 1, { grup: 'a' } as object), { message: /Did you mean `group`/ })
})

test('run() holds a slot for as long as the task takes, and sheds like a request', async t => {
  const { app } = await serve(t, { limit: 1, maxQueue: 1, maxWait: 60_000 }, () => {})
  const gate = deferred<string>()
  const first = app.concurrency.run(() => gate.promise)
  const aborter = new AbortController()
  const second = app.concurrency.run(async () => 'never', { signal: aborter.signal })
  await assert.rejects(app.concurrency.run(async () => 'never'), { code: 'FST_SURGE_QUEUE_FULL', statusCode: 503 })
  aborter.abort(new Error('changed my mind'))
  await assert.rejects(second, /changed my mind/)
  const third = app.concurrency.run(signal => `third ${signal}`)
  gate.resolve('first')
  assert.equal(await first, 'first')
  assert.equal(await third, 'third undefined')
  await assert.rejects(app.concurrency.run(async () => { throw new Error('task failed') }), /task failed/)
  assert.ok(atRest(app))
  await assert.rejects(app.concurrency.run(async () => 1, { signal: AbortSignal.abort(new Error('before')) }), /before/)
  assert.ok(atRest(app))
})

test('drain() refuses newcomers with FST_SURGE_DRAINING and resolves at rest; reopen() takes it back', async t => {
  const { app, port } = await serve(t, {}, app => { app.get('/', async () => 'ok') })
  await app.concurrency.drain()
  const client = await RawClient.connect(port)
  assert.equal(JSON.parse((await client.get('/').reply()).body).code, 'FST_SURGE_DRAINING')
  app.concurrency.reopen()
  assert.equal((await client.get('/').reply()).status, 200)
})

test('a dry run counts what it would refuse and refuses nothing', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { limit: 1, maxQueue: 0, dryRun: true }, app => {
    app.get('/', async () => { await gate.promise; return 'ok' })
  })
  const clients = await Promise.all([1, 2, 3].map(async () => (await RawClient.connect(port)).get('/')))
  await eventually(() => app.concurrency.stats().shed.queue_full === 2, 'counted')
  gate.resolve()
  for (const client of clients) assert.equal((await client.reply()).status, 200)
  await eventually(() => atRest(app), 'at rest')
})

test('an unread body above 64 KB ends the connection of its refusal, a smaller one keeps it', async t => {
  const { app, port } = await serve(t, { limit: 1, maxQueue: 0 }, app => {
    app.get('/hold', () => new Promise(() => {}))
    app.post('/', async () => 'ok')
  })
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const small = (await RawClient.connect(port)).post('/', JSON.stringify('x'.repeat(60_000)))
  assert.notEqual((await small.reply()).headers.connection, 'close')
  assert.equal((await small.post('/', '{}').reply()).status, 503)
  const large = (await RawClient.connect(port)).send('POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\nstart')
  assert.equal((await large.reply()).headers.connection, 'close')
  await large.closed
  const chunked = (await RawClient.connect(port)).send('POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n')
  assert.equal((await chunked.reply()).headers.connection, 'close')
  holder.end()
})

test('onShed answers in the place of the 503, and leaves to it what it does not answer', async t => {
  const reasons: string[] = []
  const { app, port } = await serve(t, {
    groups: {
      pages: {
        limit: 1,
        maxQueue: 0,
        onShed: async (request, reply, reason) => {
          reasons.push(reason)
          if (request.url === '/stale') return { stale: true }
          if (request.url === '/sent') return reply.code(203).send('sent')
          if (request.url === '/fails') throw new Error('no stale copy')
          if (request.url === '/query') return { then (resolve: (row: object) => void) { setImmediate(resolve, { row: 1 }) } }
        }
      }
    }
  }, app => {
    for (const path of ['/hold', '/stale', '/sent', '/refused', '/fails', '/query']) app.get(path, { config: { concurrency: 'pages' } }, () => new Promise(() => {}))
  })
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats('pages').inflight === 1, 'held')
  const client = await RawClient.connect(port)
  const replies = []
  for (const path of ['/stale', '/sent', '/refused', '/fails', '/query']) {
    const { status, body } = await client.get(path).reply()
    replies.push([status, status < 300 ? body : JSON.parse(body).code])
  }
  assert.deepEqual(replies, [[200, '{"stale":true}'], [203, 'sent'], [503, 'FST_SURGE_QUEUE_FULL'], [500, undefined], [200, '{"row":1}']])
  assert.deepEqual(reasons, Array(5).fill('queue_full'))
  assert.deepEqual([app.concurrency.stats('pages').inflight, app.concurrency.stats('pages').shed.queue_full], [1, 5])
  holder.end()
})

/** What stands for "no error" where a hook's callback is given one. */
const NOTHINGS = [undefined, null, false, 0, '']

test('an onShed that throws nothing, or rejects with nothing, fails its request and does not let it by', async t => {
  let ran = 0
  let onShed: () => unknown = () => {}
  const { app, port } = await serve(t, { limit: 1, maxQueue: 0, onShed: () => onShed() }, app => {
    app.get('/hold', () => new Promise(() => {}))
    app.get('/', async () => { ran++ })
  })
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const client = await RawClient.connect(port)
  for (const nothing of NOTHINGS) {
    for (const fails of [() => { throw nothing }, () => Promise.reject(nothing)]) {
      onShed = fails
      const { status, body } = await client.get('/').reply()
      assert.equal(status, 500, String(nothing))
      assert.match(JSON.parse(body).message, /failed without a reason/)
    }
  }
  assert.equal(ran, 0)
  holder.end()
})

test('a priority or key function that throws, be it nothing, fails its request, and does not let it by', async t => {
  for (const thrown of [new Error('who is it?'), ...NOTHINGS]) {
    for (const asked of ['priority', 'key']) {
      let ran = false
      const { app, port } = await serve(t, { maxPerKey: 1, [asked]: () => { throw thrown } }, app => { app.get('/', async () => { ran = true }) })
      const { status, body } = await (await RawClient.connect(port)).get('/').reply()
      assert.equal(status, 500, `${asked} throws ${String(thrown)}`)
      assert.match(JSON.parse(body).message, /who is it\?|failed without a reason/)
      assert.deepEqual([ran, atRest(app)], [false, true])
    }
  }
})

test('what onShed sends is the only answer, however long an onSend hook in front of the gate takes, and none follows a deadline', async t => {
  const hook = deferred()
  const late = deferred()
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  app.addHook('onSend', async request => { if (request.url === '/stale') await hook.promise })
  await app.register(deadline, { timeout: 50 })
  await app.register(concurrency, {
    limit: 1,
    maxQueue: 0,
    onShed: (request, reply) => {
      if (request.url === '/late') return late.promise.then(() => 'late')
      reply.send('stale')
      setImmediate(hook.resolve)
    }
  })
  app.get('/hold', { config: { deadline: false } }, () => new Promise(() => {}))
  app.get('/stale', () => 'fresh')
  app.get('/late', () => 'fresh')
  const port = await listen(app)
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const client = await RawClient.connect(port)
  const { status, body } = await client.get('/stale').reply()
  assert.deepEqual([status, body], [200, 'stale'])
  assert.equal(JSON.parse((await client.get('/late').reply()).body).code, 'FST_SURGE_DEADLINE')
  late.resolve()
  assert.equal((await client.get('/stale').reply()).body, 'stale')
  holder.end()
})

test('maxPerKey leaves room for the others while the gate is full, and is not asked before', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { limit: 2, maxQueue: 10, maxWait: 60_000, maxPerKey: 3, key: request => String(request.headers['x-client']) }, app => {
    app.get('/', async () => { await gate.promise; return 'ok' })
  })
  const greedy = await Promise.all(Array.from({ length: 5 }, async () => (await RawClient.connect(port)).get('/', 'X-Client: greedy\r\n')))
  await eventually(() => app.concurrency.stats().shed.key_share === 2, 'two of five are past the share')
  const other = (await RawClient.connect(port)).get('/', 'X-Client: other\r\n')
  await eventually(() => app.concurrency.stats().queued === 2, 'the other may wait')
  gate.resolve()
  assert.equal((await other.reply()).status, 200)
  const statuses = await Promise.all(greedy.map(async client => (await client.reply()).status))
  assert.deepEqual(statuses.sort(), [200, 200, 200, 503, 503])
})

test('rate lets so many through at once, keeps the rest waiting, and knows beforehand who waits in vain', async t => {
  const { app, port } = await serve(t, { groups: { payments: { rate: { perSecond: 20, burst: 2 }, maxWait: 120 } } }, app => {
    app.get('/', { config: { concurrency: 'payments' } }, async () => 'ok')
  })
  const clients = await Promise.all(Array.from({ length: 6 }, async () => (await RawClient.connect(port)).get('/')))
  const statuses = await Promise.all(clients.map(async client => (await client.reply()).status))
  assert.deepEqual(statuses.sort(), [200, 200, 200, 200, 503, 503])
  assert.equal(app.concurrency.stats('payments').shed.predicted_wait, 2)
})

/** Handlers that compute, and clients on connections that are open already, so that all of them ask in one iteration of the loop. */
async function computing (t: TestContext, options: ConcurrencyOptions, { clients: count }: { clients: number }) {
  const order: string[] = []
  const { app, port } = await serve(t, options, app => {
    function compute (request: FastifyRequest) {
      const end = performance.now() + 15
      while (performance.now() < end);
      order.push(request.url)
      return 'ok'
    }
    // The hook's promise: what is computed behind it counts as well.
    app.addHook('preHandler', async () => {})
    app.get('/', async request => compute(request))
    app.get('/critical', { config: { concurrency: { priority: 0 } } }, async request => compute(request))
    app.get('/ungated', { config: { concurrency: false } }, async request => { order.push(request.url) })
  })
  const clients = await Promise.all(Array.from({ length: count }, () => RawClient.connect(port)))
  for (const client of clients) await client.get('/nowhere').reply()
  return { app, clients, order }
}

test('handlers that compute wait for the loop where everybody sees them: the critical go first, and who has no handler to wait for is answered in between', async t => {
  const { app, clients, order } = await computing(t, {}, { clients: 24 })
  for (const [index, client] of clients.entries()) client.get(index === 23 ? '/ungated' : index >= 20 ? '/critical' : '/')
  const replies = await Promise.all(clients.map(client => client.reply()))
  assert.ok(replies.every(({ status }) => status < 400), 'a burst is no overload: all are served')
  assert.ok(order.indexOf('/ungated') < 4, `${order.indexOf('/ungated')} handlers ran before the one that came last`)
  assert.ok(order.lastIndexOf('/critical') < 8, `${order.lastIndexOf('/critical')} ran before the last of the critical`)
  const { inflight, queued, admitted } = app.concurrency.stats()
  assert.deepEqual([inflight, queued, admitted >= 23], [0, 0, true])
})

test('who would wait too long for the loop is told so while others compute', async t => {
  const { app, clients } = await computing(t, { maxWait: 60 }, { clients: 24 })
  for (const client of clients) client.get('/')
  const replies = await Promise.all(clients.map(client => client.reply()))
  const refused = replies.filter(({ status }) => status === 503)
  assert.ok(refused.length > 0 && refused.length < 24, `${refused.length} of 24 were refused`)
  assert.ok(refused.every(({ body }) => JSON.parse(body).code === 'FST_SURGE_QUEUE_TIMEOUT'))
  assert.equal(app.concurrency.stats().shed.queue_timeout, refused.length)
})

test('a request whose deadline would pass in the queue is refused on arrival', async t => {
  const gate = deferred()
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  await app.register(import('../../plugins/deadline/index.ts'), { timeout: 60_000 })
  await app.register(concurrency, { limit: 1 })
  app.get('/slow', async () => { await new Promise(resolve => setTimeout(resolve, 60)); return 'ok' })
  app.get('/hold', async () => { await gate.promise; return 'ok' })
  app.get('/urgent', { config: { deadline: 1 } }, async () => 'ok')
  const port = await listen(app)
  const client = await RawClient.connect(port)
  for (let i = 0; i < 3; i++) await client.get('/slow').reply()
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const urgent = await (await RawClient.connect(port)).get('/urgent').reply()
  assert.equal(urgent.status, 503)
  assert.equal(app.concurrency.stats().shed.predicted_wait, 1)
  gate.resolve()
  await holder.reply()
})

test('routes declared before the plugin are admitted too, in contexts that exist already as well', async () => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } })
  app.get('/before', async () => 'ok')
  app.register(async child => { child.get('/child', async () => 'ok') })
  await app.register(concurrency)
  await app.inject('/before')
  await app.inject('/child')
  assert.equal(app.concurrency.stats().admitted, 2)
  // A gate alone has nothing that came too late.
  assert.deepEqual(lines, [])
})

test('a bad route config fails where the route is declared, and says what to write', async () => {
  const app = Fastify()
  await app.register(concurrency, { groups: { reports: { limit: 1 } } })
  const declare = (setting: unknown) => () => app.get('/bad', { config: { concurrency: setting as any } }, async () => 1)
  assert.throws(declare({ limt: 3 }), { code: 'FST_SURGE_BAD_OPTION', message: /limt.*Did you mean `limit`\?.*groups/ })
  assert.throws(declare({ limit: 3 }), { message: /limit`\. Known: group, priority, key\. Got 3\. A gate's `limit` is declared once/ })
  assert.throws(declare({ gruop: 'reports' }), { message: /Did you mean `group`/ })
  assert.throws(declare('report'), { message: /Did you mean 'reports'/ })
  assert.throws(declare('nothing'), { message: /groups: \{ nothing: \{ limit: … \} \}/ })
  assert.throws(declare({ priority: 3 }), { message: /priority.*0, 1 or 2, or a function, got 3/ })
  assert.throws(declare(5), { message: /GET \/bad.*got 5/ })
})

test('bad options fail at boot with key, value and expectation', async () => {
  const cases: Array<[object, RegExp]> = [
    [{ limit: 0 }, /`concurrency.limit` to be an integer ≥ 1, or { min, max }, got 0/],
    [{ limit: { max: 0 } }, /`concurrency.limit.max` to be an integer ≥ 1, got 0/],
    [{ limit: { min: 20, max: 10 } }, /`concurrency.limit.min` to be an integer ≤ `max` \(10\), got 20/],
    [{ limit: '5' }, /got '5'/],
    [{ maxWait: 1.5 }, /maxWait.*milliseconds/],
    [{ limits: 5 }, /Did you mean `limit`/],
    [{ groups: { a: { limit: -1 } } }, /`concurrency.groups.a.limit`.*got -1/],
    [{ groups: { default: {} } }, /default/],
    [{ groups: [] }, /an object of gates by name/],
    [{ rate: { perSecond: 0 } }, /`concurrency.rate.perSecond` to be a number from 0.001 to 1000000, got 0/],
    [{ rate: { burst: 5 } }, /`concurrency.rate.perSecond`.*got undefined/],
    [{ maxPerKey: 0 }, /maxPerKey.*got 0/],
    [{ onShed: 'stale' }, /onShed.*a function/]
  ]
  for (const [options, message] of cases) {
    await assert.rejects(async () => { await Fastify().register(concurrency, options as any) }, { code: 'FST_SURGE_BAD_OPTION', message })
  }
})

test('by default a limit adapts from 32 on, or from its bounds; tune() fixes it', async () => {
  const app = Fastify()
  await app.register(concurrency, { groups: { reports: { limit: { max: 20 } }, imports: { limit: { min: 50 } } } })
  assert.equal(app.concurrency.stats().limit, 32)
  assert.equal(app.concurrency.stats('reports').limit, 20)
  assert.equal(app.concurrency.stats('imports').limit, 50)
  app.concurrency.tune(5)
  assert.equal(app.concurrency.stats().limit, 5)
})

test('a limit that changes is told on a diagnostics channel, with its group', async t => {
  const told: unknown[] = []
  const listener = (message: unknown) => { told.push(message) }
  subscribe('fastify-surge:limit', listener)
  t.after(() => unsubscribe('fastify-surge:limit', listener))
  const app = Fastify()
  await app.register(concurrency, { groups: { calls: { limit: { max: 64 } }, fixed: { limit: 32 } } })
  const gate = deferred()
  const tasks = ['calls', 'fixed'].flatMap(group => Array.from({ length: 33 }, () => app.concurrency.run(() => gate.promise, { group })))
  await eventually(() => told.length > 0, 'slow start')
  gate.resolve()
  await Promise.all(tasks)
  assert.deepEqual(told, [{ group: 'calls', limit: 64, before: 32 }])
})

test('tune() gives a gate a limit that adapts back, from its bounds, and each change is told', async t => {
  const told: unknown[] = []
  const listener = (message: unknown) => { told.push(message) }
  subscribe('fastify-surge:limit', listener)
  t.after(() => unsubscribe('fastify-surge:limit', listener))
  const { app } = await serve(t, { groups: { calls: { limit: 100, maxWait: 60 } } }, () => {})
  const gate = deferred()
  const tasks = Array.from({ length: 60 }, () => app.concurrency.run(() => gate.promise, { group: 'calls' }))
  assert.equal(app.concurrency.stats('calls').inflight, 60)
  app.concurrency.tune({ max: 64 }, 'calls')
  assert.deepEqual([app.concurrency.stats('calls').limit, app.concurrency.stats('calls').inflight], [32, 60])
  tasks.push(app.concurrency.run(() => gate.promise, { group: 'calls' }))
  await eventually(() => app.concurrency.stats('calls').inflight === 61, 'slow start, in time for its maxWait')
  gate.resolve()
  await Promise.all(tasks)
  app.concurrency.tune(5, 'calls')
  app.concurrency.tune(5, 'calls')
  app.concurrency.tune({ min: 40 }, 'calls')
  app.concurrency.tune({}, 'calls')
  assert.deepEqual(told, [[100, 32], [32, 64], [64, 5], [5, 40], [40, 32]].map(([before, limit]) => ({ group: 'calls', limit, before })))
  assert.throws(() => app.concurrency.tune({ min: 5, max: 2 }), { code: 'FST_SURGE_BAD_OPTION', message: /`limit.min` to be an integer ≤ `max` \(2\), got 5/ })
  assert.throws(() => app.concurrency.tune({ maxi: 2 } as object), { message: /Did you mean `max`/ })
})

test('unknown groups and limits are refused by the decorator as well', async () => {
  const app = Fastify()
  await app.register(concurrency, { groups: { reports: { limit: 1 } } })
  assert.throws(() => app.concurrency.stats('report'), /Did you mean 'reports'/)
  assert.throws(() => app.concurrency.tune(0), /an integer ≥ 1, or { min, max }, got 0/)
  app.concurrency.tune(7, 'reports')
  assert.equal(app.concurrency.stats('reports').limit, 7)
})

test('a second registration on the same or an enclosing context is refused, siblings may have their own', async () => {
  const app = Fastify()
  await app.register(concurrency)
  await assert.rejects(async () => { await app.register(concurrency) }, { code: 'FST_SURGE_DUPLICATE' })
  const siblings = Fastify()
  for (const limit of [1, 2]) {
    siblings.register(async child => {
      await child.register(concurrency, { limit })
      child.get(`/${limit}`, async () => child.concurrency.stats().limit)
    })
  }
  assert.equal((await siblings.inject('/1')).body, '1')
  assert.equal((await siblings.inject('/2')).body, '2')
})

test('a taken decorator is named', async () => {
  const app = Fastify()
  app.decorate('concurrency', {} as any)
  await assert.rejects(async () => { await app.register(concurrency) }, { code: 'FST_SURGE_CLASH', message: /app\.concurrency/ })
})

test('HTTP/2 requests are admitted, and an RST_STREAM gives the slot back', async t => {
  const http2 = await import('node:http2')
  const gate = deferred()
  const app = Fastify({ http2: true })
  t.after(() => app.close())
  await app.register(concurrency, { limit: 1, maxQueue: 0 })
  app.get('/', async () => { await gate.promise; return 'ok' })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = http2.connect(`http://127.0.0.1:${(app.server.address() as any).port}`)
  const stream = session.request({ ':path': '/' })
  stream.on('error', () => {})
  await eventually(() => app.concurrency.stats().inflight === 1, 'runs')
  const second = session.request({ ':path': '/' })
  const [headers] = await once(second, 'response')
  assert.equal(headers[':status'], 503)
  stream.close(http2.constants.NGHTTP2_CANCEL)
  await eventually(() => app.concurrency.stats().orphans === 1, 'orphaned')
  gate.resolve()
  await eventually(() => app.concurrency.stats().inflight === 0, 'at rest')
  session.destroy()
})
