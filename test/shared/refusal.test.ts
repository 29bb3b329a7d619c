import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyReply, type LightMyRequestResponse } from 'fastify'
import concurrency from '../../plugins/concurrency/index.ts'
import surge from '../../plugins/index.ts'
import { QueueFull } from '../../plugins/shared/errors.ts'
import { jitteredRetryAfter, prepareRefusal, problemJson, type OnRefused } from '../../plugins/shared/refusal.ts'
import { setSuiteState } from '../../plugins/shared/suite-state.ts'
import { leavesTooMuchUnread } from '../../plugins/shared/unread-body.ts'
import { RawClient, deferred, eventually, listen, type RawReply } from '../support/raw-http.ts'

test('a prepared refusal has the body that Fastify gives an error', () => {
  const refusal = prepareRefusal('concurrency', 'queue_full', QueueFull, 1)
  assert.equal(refusal.statusCode, 503)
  assert.deepEqual(JSON.parse(refusal.body), { statusCode: 503, code: 'FST_SURGE_QUEUE_FULL', error: 'Service Unavailable', message: refusal.message })
})

test('Retry-After is an integer, never below the wait, and spread', () => {
  for (const wait of [0, 0.2, 1, 4.1, 60]) {
    const all = [0, 0.25, 0.5, 0.75, 0.999].map(random => jitteredRetryAfter(wait, () => random))
    assert.ok(all.every(seconds => Number.isInteger(seconds) && seconds >= Math.max(1, wait)), `${wait}: ${all}`)
    assert.ok(new Set(all).size > 1, `${wait}: always ${all[0]}`)
    assert.ok(Math.max(...all) <= Math.ceil(wait) * 1.5 + 3)
  }
})

test('a body is too much to leave unread when it is chunked or above 64 KB, and not when it is in already', () => {
  const unread = (complete: boolean, headers: object) => leavesTooMuchUnread({ complete, headers } as any)
  assert.equal(unread(false, {}), false)
  assert.equal(unread(false, { 'content-length': '65536' }), false)
  assert.equal(unread(false, { 'content-length': '65537' }), true)
  assert.equal(unread(false, { 'transfer-encoding': 'chunked' }), true)
  assert.equal(unread(true, { 'transfer-encoding': 'chunked' }), false)
})

test('problemJson is RFC 9457', () => {
  const headers: Record<string, string> = {}
  const body = problemJson({} as any, { header: (name: string, value: string) => { headers[name] = value } } as any, prepareRefusal('concurrency', 'queue_full', QueueFull))
  assert.equal(headers['content-type'], 'application/problem+json')
  const { type, title, status, detail, code } = JSON.parse(body)
  assert.deepEqual([type, title, status, code], ['about:blank', 'Service Unavailable', 503, 'FST_SURGE_QUEUE_FULL'])
  assert.ok(detail.length > 10)
})

async function refusing (beforeRefusal?: (reply: FastifyReply) => void, onSend?: () => void): Promise<{ response: LightMyRequestResponse, passedFastify: boolean }> {
  const app = Fastify()
  let passedFastify = false
  app.addHook('onRequest', (_request, reply, done) => {
    beforeRefusal?.(reply)
    const { send } = reply
    reply.send = function sendSeen (payload) {
      passedFastify = true
      return send.call(reply, payload)
    }
    done()
  })
  await app.register(surge, { pressure: false, lifecycle: false })
  if (onSend !== undefined) app.addHook('onSend', async () => onSend())
  app.get('/', async () => 'served')
  await app.ready()
  await app.concurrency.drain()
  const response = await app.inject('/')
  await app.close()
  return { response, passedFastify }
}

test('a refusal is written past Fastify where only hooks of the suite would see it: they are known also when Fastify has bound them', async () => {
  const { response, passedFastify } = await refusing()
  assert.equal(passedFastify, false)
  assert.equal(response.statusCode, 503)
  assert.equal(response.json().code, 'FST_SURGE_DRAINING')
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  assert.equal(Number(response.headers['content-length']), response.rawPayload.length)
  assert.match(response.headers['retry-after'] as string, /^[1-3]$/)
})

test('a refusal has what earlier hooks have set, on the reply or by hand', async () => {
  const { response, passedFastify } = await refusing(reply => {
    reply.header('x-earlier', 'yes').header('cache-control', 'public')
    reply.raw.setHeader('x-by-hand', 'yes')
  })
  assert.equal(passedFastify, false)
  const { 'x-earlier': earlier, 'x-by-hand': byHand, 'cache-control': cacheControl } = response.headers
  assert.deepEqual([response.statusCode, earlier, byHand, cacheControl], [503, 'yes', 'yes', 'no-store'])
})

test('a refusal passes Fastify where a hook of the app would see it, or trailers follow it', async () => {
  let seen = 0
  const hooked = await refusing(undefined, () => { seen++ })
  assert.deepEqual([hooked.passedFastify, seen, hooked.response.statusCode], [true, 1, 503])
  const trailing = await refusing(reply => { reply.trailer('etag', (_reply, _payload, done) => done(null, 'end')) })
  assert.deepEqual([trailing.passedFastify, trailing.response.statusCode], [true, 503])
})

/** A gate that is full, so that whoever comes is refused: the first by a timer, the second at once. */
async function fullGate (t: TestContext, hooks: (app: FastifyInstance) => void, onRefused?: OnRefused): Promise<{ port: number, lines: string[] }> {
  const lines: string[] = []
  const app = Fastify({ forceCloseConnections: true, logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } })
  t.after(() => app.close())
  setSuiteState(app, { dryRun: false, onRefused, routes: {} })
  hooks(app)
  await app.register(concurrency, { limit: 1, maxQueue: 1, maxWait: 50 })
  app.get('/hold', () => new Promise(() => {}))
  app.get('/', async () => 'served')
  const port = await listen(app)
  ;(await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  return { port, lines }
}

async function refusedTwice (port: number): Promise<RawReply[]> {
  const clients = [(await RawClient.connect(port)).get('/'), (await RawClient.connect(port)).get('/')]
  return Promise.all(clients.map(client => client.reply()))
}

test('a header of the app that Node refuses does not keep a refusal from being sent, and its error ends no process', async t => {
  for (const onSend of [undefined, () => {}]) {
    const { port, lines } = await fullGate(t, app => {
      app.addHook('onRequest', async (request, reply) => {
        if (request.url === '/') reply.header('x-name', '\u20ac').raw.setHeader('x-raw', 'raw')
      })
      if (onSend !== undefined) app.addHook('onSend', async () => onSend())
    })
    const replies = await refusedTwice(port)
    if (onSend === undefined) {
      assert.deepEqual(replies.map(({ status, body }) => [status, JSON.parse(body).code]).sort(), [[503, 'FST_SURGE_QUEUE_FULL'], [503, 'FST_SURGE_QUEUE_TIMEOUT']])
      for (const { headers } of replies) assert.match(headers['retry-after']!, /^[1-3]$/)
    }
    assert.ok(lines.every(line => line.includes('ERR_INVALID_CHAR')) && lines.length >= 2)
  }
})

test('onRefused: a promise is waited for, an error of it is logged and the default body sent, and it may answer by itself', async t => {
  const gate = deferred()
  const kinds: Record<string, [OnRefused, string | RegExp]> = {
    promise: [async () => { await gate.promise; return { mine: true } }, '{"mine":true}'],
    nothing: [async () => { await gate.promise }, /FST_SURGE_QUEUE/],
    throws: [() => { throw new Error('in onRefused') }, /FST_SURGE_QUEUE/],
    rejects: [async () => { await gate.promise; throw new Error('in onRefused') }, /FST_SURGE_QUEUE/],
    sends: [(_request, reply) => { reply.send('mine') }, 'mine'],
    sendsLater: [async (_request, reply) => { await gate.promise; return reply.send('mine') }, 'mine'],
    hijacks: [(_request, reply) => { reply.hijack().raw.writeHead(503, { 'content-length': 4 }).end('mine') }, 'mine'],
    reads: [(_request, reply) => ({ wait: reply.getHeader('retry-after') }), /^\{"wait":[1-3]\}$/]
  }
  for (const [kind, [onRefused, expected]] of Object.entries(kinds)) {
    const { port, lines } = await fullGate(t, () => {}, onRefused)
    gate.resolve()
    for (const { status, headers, body } of await refusedTwice(port)) {
      assert.equal(status, 503, kind)
      if (typeof expected === 'string') assert.equal(body, expected, kind)
      else assert.match(body, expected, kind)
      if (kind === 'reads') assert.equal(JSON.parse(body).wait, Number(headers['retry-after']))
    }
    assert.equal(lines.length, kind === 'throws' || kind === 'rejects' ? 2 : 0, kind)
    assert.ok(lines.every(line => line.includes('in onRefused')))
  }
})

async function drained (t: TestContext): Promise<{ app: FastifyInstance, heads: () => number }> {
  const app = Fastify()
  t.after(async () => await app.close())
  await app.register(surge, { pressure: false, lifecycle: false, rateLimit: false })
  app.get('/', async () => 'served')
  let heads = 0
  app.server.on('request', (_req, res) => {
    const { writeHead } = res
    res.writeHead = function counted (this: typeof res, ...args: any[]) {
      heads++
      return writeHead.apply(this, args as any)
    } as typeof writeHead
  })
  await app.ready()
  await app.concurrency.drain()
  return { app, heads: () => heads }
}

test('refusals of one iteration are written together, and each client gets its own', async t => {
  const { app } = await drained(t)
  const port = await listen(app)
  const clients = await Promise.all(Array.from({ length: 40 }, async () => await RawClient.connect(port)))
  const replies = await Promise.all(clients.map(async client => await client.get('/').reply()))
  assert.ok(replies.every(({ status, body }) => status === 503 && JSON.parse(body).code === 'FST_SURGE_DRAINING'))
  // Their connections are still of use.
  const again = await Promise.all(clients.map(async client => await client.get('/').reply()))
  assert.ok(again.every(({ status }) => status === 503))
})

test('nothing is written for a client that left behind its refusal, nor is what an earlier hook wrote after it', async t => {
  const { app, heads } = await drained(t)
  const asked = deferred()
  let leaves = true
  app.server.on('request', (req, res) => {
    if (leaves) req.socket.destroy()
    else res.writeHead(418).end()
    asked.resolve()
  })
  const port = await listen(app)
  const left = (await RawClient.connect(port)).get('/')
  await asked.promise
  await left.closed
  assert.equal(heads(), 0)
  leaves = false
  const { status } = await (await RawClient.connect(port)).get('/').reply()
  assert.equal(status, 418)
  assert.equal(heads(), 1)
  assert.equal(app.concurrency.stats().shed.draining, 2)
})

test('a reply that cannot be ended costs its own connection, and no other refusal that is written with it', async t => {
  const lines: string[] = []
  const app = Fastify({ forceCloseConnections: true, logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } })
  t.after(async () => await app.close())
  app.addHook('onRequest', (request, reply, done) => {
    if (request.url === '/bad') reply.raw.end = () => { throw new Error('patched') }
    done()
  })
  await app.register(surge, { pressure: false, lifecycle: false })
  app.get('/*', async () => 'served')
  const port = await listen(app)
  await app.concurrency.drain()
  for (const count of [5, 16, 20]) {
    const clients = await Promise.all(Array.from({ length: count }, async () => await RawClient.connect(port)))
    for (const [at, client] of clients.entries()) client.get(at === 1 ? '/bad' : '/')
    const replies = await Promise.all(clients.filter((_, at) => at !== 1).map(async client => await client.reply()))
    assert.ok(replies.every(({ status }) => status === 503))
    await clients[1]!.closed
  }
  assert.equal(lines.filter(line => line.includes('a refusal could not be written')).length, 3)
})

test('a refusal is written in the async context of its own request', async t => {
  const context = new AsyncLocalStorage<string>()
  const app = Fastify()
  t.after(async () => await app.close())
  const seen: Array<[string, string | undefined]> = []
  app.addHook('onRequest', (request, _reply, done) => { context.run(request.url, done) })
  app.addHook('onResponse', async request => { seen.push([request.url, context.getStore()]) })
  await app.register(surge, { pressure: false, lifecycle: false })
  app.get('/:id', async () => 'served')
  await app.ready()
  await app.concurrency.drain()
  const urls = Array.from({ length: 40 }, (_, id) => `/${id}`)
  await Promise.all(urls.map(async url => await app.inject(url)))
  assert.deepEqual(seen.sort(([a], [b]) => urls.indexOf(a) - urls.indexOf(b)), urls.map(url => [url, url]))
})

test('a refusal that waits for others when its deadline passes keeps its Retry-After', async t => {
  const app = Fastify({ forceCloseConnections: true })
  t.after(async () => await app.close())
  await app.register(surge, { pressure: false, concurrency: { limit: 1, maxWait: 100 } })
  app.get('/hold', { config: { deadline: 5000 } }, () => new Promise(() => {}))
  app.get('/', { config: { deadline: 115 } }, async () => 'served')
  const port = await listen(app)
  ;(await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const client = (await RawClient.connect(port)).get('/')
  await eventually(() => app.concurrency.stats().queued === 1, 'queued')
  // Both are due when the loop comes back.
  const end = performance.now() + 130
  while (performance.now() < end);
  const { status, headers } = await client.reply()
  assert.equal(status, 503)
  assert.match(headers['retry-after'] ?? 'none', /^\d+$/)
})

test('a refusal does not wait for what others of its iteration compute, but for one of them', async t => {
  const app = Fastify({ forceCloseConnections: true })
  t.after(async () => await app.close())
  const order: string[] = []
  app.addHook('onRequest', (request, reply, done) => {
    const { end } = reply.raw
    if (request.url === '/refused') {
      reply.raw.end = function ended (this: typeof reply.raw, ...args: any[]) {
        order.push('refused')
        return end.apply(this, args as any)
      } as typeof end
    }
    done()
  })
  await app.register(surge, { pressure: false, lifecycle: false })
  app.get('/refused', async () => 'served')
  app.get('/computes', { config: { concurrency: false } }, async () => {
    order.push('computes')
    const end = performance.now() + 5
    while (performance.now() < end);
    return 'computed'
  })
  await app.ready()
  await app.concurrency.drain()
  await Promise.all(['/refused', '/computes', '/computes', '/computes'].map(async url => await app.inject(url)))
  assert.ok(order.indexOf('refused') <= 1, order.join(' '))
})
