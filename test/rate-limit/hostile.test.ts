// What a client, the app's own functions or a store may do to the limit: it holds, and no request hangs or gets by.
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyRequest, type InjectOptions } from 'fastify'
import rateLimit, { type RateLimitOptions } from '../../plugins/rate-limit/index.ts'
import type { Answer, Claim } from '../../plugins/rate-limit/counter.ts'
import { Policy } from '../../plugins/rate-limit/gcra.ts'
import { Guard, GuardedCounter } from '../../plugins/rate-limit/guarded-store.ts'
import { KeyedHash } from '../../plugins/rate-limit/keyed-hash.ts'
import { MemoryStore } from '../../plugins/rate-limit/memory-store.ts'
import { RedisStore } from '../../plugins/rate-limit/redis-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { RawClient, eventually, listen } from '../support/raw-http.ts'

async function limited (t: TestContext, options: RateLimitOptions, routes: (app: FastifyInstance) => void = app => { app.get('/', async () => 'ok') }): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, { timeWindow: '1 minute', ...options })
  routes(app)
  await app.ready()
  return app
}

async function statuses (app: FastifyInstance, requests: (string | InjectOptions)[]): Promise<number[]> {
  const seen: number[] = []
  for (const request of requests) seen.push((await app.inject(request)).statusCode)
  return seen
}

/** Values that the official types rule out, and requests bring along all the same. */
const any = (value: unknown): any => value

test('a function that throws nothing at all, or rejects with nothing, fails its request and does not let it by', async t => {
  const failing = [undefined, null, false, 0, ''].flatMap((nothing): RateLimitOptions[] => [
    { keyGenerator: () => { throw nothing } },
    { keyGenerator: any(() => Promise.reject(nothing)) },
    { max: any(() => Promise.reject(nothing)) },
    { allowList: any(async () => { throw nothing }) },
    { max: 0, onExceeded: () => { throw nothing } }
  ])
  for (const options of failing) {
    for (const hook of ['onRequest', 'preHandler'] as const) {
      const app = await limited(t, { ...options, hook })
      const failed = await app.inject('/')
      assert.equal(failed.statusCode, 500)
      assert.match(failed.json().message, /The rate limit could not decide/)
    }
  }
})

test('what functions of the app answer may be no Promise and resolve all the same, as queries of some clients do', async t => {
  const resolving = (value: unknown) => any(() => ({ then (resolve: (value: unknown) => void) { setImmediate(resolve, value) } }))
  const limits: RateLimitOptions[] = [
    { keyGenerator: resolving('somebody') },
    { max: resolving(1) },
    { timeWindow: resolving(60_000) },
    { allowList: resolving(false) },
    { cost: resolving(1) }
  ]
  for (const options of limits) {
    for (const hook of ['onRequest', 'preHandler'] as const) {
      const app = await limited(t, { max: 1, hook, ...options })
      assert.deepEqual(await statuses(app, ['/', '/']), [200, 429], `${Object.keys(options)} ${hook}`)
    }
  }
})

test('an errorResponseBuilder that builds nothing leaves the prepared reply', async t => {
  for (const hook of ['onRequest', 'preHandler'] as const) {
    for (const nothing of [undefined, null, false, 0, '']) {
      const app = await limited(t, { hook, max: 0, errorResponseBuilder: any(() => nothing) })
      const refused = await app.inject('/')
      assert.equal(refused.statusCode, 429)
      assert.equal(refused.json().code, 'FST_SURGE_RATE_LIMITED')
    }
  }
})

test('a cost that is no number counts as 1: null is not free; the text of a number is that number', async t => {
  for (const [cost, remaining] of [[null, '9'], [undefined, '9'], ['', '9'], [[], '9'], [true, '9'], [{}, '9'], [-1, '9'], [NaN, '9'], ['4', '6'], [Infinity, '0'], [1e308, '0'], [0, '10']]) {
    for (const answer of [() => any(cost), async () => any(cost)]) {
      const app = await limited(t, { max: 10, cost: answer })
      assert.equal((await app.inject('/')).headers['x-ratelimit-remaining'], remaining, String(cost))
    }
  }
})

test('a max that is no number admits nobody, a fraction of a request is none, infinity is told as a number', async t => {
  for (const max of [null, undefined, NaN, -1, 'many', {}, 0.5]) {
    for (const answer of [() => any(max), async () => any(max)]) {
      const app = await limited(t, { max: answer })
      const refused = await app.inject('/')
      assert.equal(refused.statusCode, 429, String(max))
      assert.match(refused.headers['retry-after'] as string, /^\d{2}$/)
    }
  }
  assert.equal((await (await limited(t, { max: () => 2.9 })).inject('/')).headers['x-ratelimit-limit'], '2')
  const unlimited = await (await limited(t, { max: () => Infinity, headers: 'draft-11' })).inject('/')
  assert.equal(unlimited.statusCode, 200)
  assert.match(unlimited.headers.ratelimit as string, /^"default";r=\d{15};t=\d+$/)
})

test('a timeWindow by request: the text of a duration is one, nonsense admits nobody instead of turning the limit off', async t => {
  for (const timeWindow of ['soon', null, undefined, NaN, -1, {}]) {
    const app = await limited(t, { max: 1, timeWindow: any(() => timeWindow) })
    assert.deepEqual(await statuses(app, ['/']), [429], String(timeWindow))
  }
  for (const timeWindow of ['1 minute', async () => '1 minute']) {
    const app = await limited(t, { max: 1, timeWindow: any(typeof timeWindow === 'string' ? () => timeWindow : timeWindow) })
    assert.equal((await app.inject('/')).headers['x-ratelimit-reset'], '60')
    assert.deepEqual(await statuses(app, ['/']), [429])
  }
})

test('windows of a millisecond and of a hundred years', async t => {
  assert.equal((await (await limited(t, { max: 1, timeWindow: 1 })).inject('/')).headers['x-ratelimit-reset'], '1')
  for (const timeWindow of ['1 year', '100 years']) {
    const app = await limited(t, { max: 2, timeWindow, exponentialBackoff: true })
    assert.deepEqual(await statuses(app, ['/', '/', '/', '/']), [200, 200, 429, 429])
    assert.match((await app.inject('/')).headers['retry-after'] as string, /^\d+$/)
  }
})

test('keys of any shape and length are clients of their own', async t => {
  const keys = ['k'.repeat(10_000), 'k'.repeat(10_001), '', ' ', '{', '}', '%7b', 'a\nb', 'a\0b', 'a\0', 'ä', '中', '\uD800', '__proto__', 'constructor', 'GET /|x']
  let next = 0
  const app = await limited(t, { max: 1, hook: 'onRequest', keyGenerator: () => keys[next++ % keys.length]! })
  assert.deepEqual(await statuses(app, keys.map(() => '/')), keys.map(() => 200))
  assert.deepEqual(await statuses(app, keys.map(() => '/')), keys.map(() => 429))
})

test('callbacks are told the key as it was made, also a number', async t => {
  const told: unknown[] = []
  const tell = (value: any) => (_request: FastifyRequest, key: unknown) => { told.push(key); return value }
  const app = await limited(t, { hook: 'onRequest', keyGenerator: () => 42, allowList: tell(false), max: tell(1), onExceeding: tell(undefined), onExceeded: tell(undefined) })
  assert.deepEqual(await statuses(app, ['/', '/']), [200, 429])
  assert.deepEqual(told, Array(6).fill(42))
})

test('an address in the allow list is that address, whatever the key', async t => {
  const app = await limited(t, { max: 0, hook: 'onRequest', keyGenerator: () => 'somebody', allowList: ['127.0.0.1', '::ffff:10.0.0.1'] })
  assert.deepEqual(await statuses(app, ['/', { url: '/', remoteAddress: '10.0.0.1' }, { url: '/', remoteAddress: '10.0.0.2' }]), [200, 200, 429])
})

test('app.quota names a client by any address of its prefix', async t => {
  const app = await limited(t, { max: 2 })
  await app.inject({ url: '/', remoteAddress: '2001:db8::1' })
  await app.inject({ url: '/', remoteAddress: '::ffff:192.0.2.1' })
  for (const key of ['2001:db8::1', '2001:db8::7', '2001:db8::', '192.0.2.1', '::ffff:192.0.2.1']) assert.equal((await app.quota.peek({ key }))!.remaining, 1, key)
  await app.quota.reset({ key: '2001:db8::2' })
  assert.equal((await app.inject({ url: '/', remoteAddress: '2001:db8::1' })).headers['x-ratelimit-remaining'], '1')
})

test('404s, OPTIONS and HEAD are limited behind the app\'s hooks, too', async t => {
  const app = await limited(t, { max: 3, hook: 'preHandler' })
  assert.deepEqual(await statuses(app, ['/nope', { method: 'OPTIONS', url: '/' }, { method: 'HEAD', url: '/' }, '/nope', '/', { method: 'HEAD', url: '/' }]), [404, 404, 200, 429, 429, 429])
})

/** A node-redis client that answers as it is told. */
const redisThat = (evalSha: () => unknown) => ({ evalSha, eval: evalSha })

test('a Redis client that throws, or answers what is no decision, has failed: the policy holds', async t => {
  const answers: (() => unknown)[] = [
    () => { throw new Error('broken') },
    () => Promise.reject(), // eslint-disable-line prefer-promise-reject-errors
    () => Promise.reject(Object.create(null)),
    ...[null, undefined, 'OK', [], [0], [0, 0, 0], [7, 0, 0, 0], ['x', 'y', 'z', 'w'], [0, 0, 0, 'NaN'], {}].map(answer => async () => answer)
  ]
  for (const answer of answers) {
    for (const [onStoreError, expected] of [['closed', 503], ['open', 200], ['local', 200]] as const) {
      const app = await limited(t, { max: 1, onStoreError, redis: redisThat(answer) })
      const { statusCode, headers } = await app.inject('/')
      assert.equal(statusCode, expected)
      assert.equal(headers['x-ratelimit-limit'], onStoreError === 'local' ? '1' : undefined)
      assert.equal(app.quota.stats().failed, 1)
    }
  }
})

test('one deadline covers a decision: the script that has to be sent whole is not waited for once more', async () => {
  const clock = new FakeClock()
  const sent: string[] = []
  let noScript = (): void => {}
  const client = {
    evalSha: () => new Promise((_resolve, reject) => {
      sent.push('evalSha')
      noScript = () => reject(new Error('NOSCRIPT No matching script.'))
    }),
    eval: () => { sent.push('eval'); return new Promise(() => {}) }
  }
  const penalties = { ban: -1, continueExceeding: false, exponentialBackoff: false }
  const guard = new Guard({ storeTimeout: 50, instances: 1, clock, afterReading: fn => fn(), changed: () => {} })
  const local = new MemoryStore(8, clock, new KeyedHash(new Uint32Array(2))).counter('', penalties)
  const counter = new GuardedCounter(guard, new RedisStore(client, '', clock).counter('', penalties), local)
  const claim: Claim = { key: 'k', policies: [new Policy({ max: 1, window: 1000 })], cost: 1, onStoreError: 'closed' }
  let outcome = ''
  counter.later(claim, verdict => { outcome = verdict.outcome })
  clock.advance(49)
  noScript()
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual([sent, outcome], [['evalSha', 'eval'], ''])
  clock.advance(1)
  assert.equal(outcome, 'unavailable')
})

test('close() while a store is asked: the request is answered by the policy, and nothing is waited for', async t => {
  let asked = 0
  const app = Fastify({ return503OnClosing: false })
  await app.register(rateLimit, { onStoreError: 'open', redis: redisThat(() => { asked++; return new Promise(() => {}) }) })
  app.get('/', async () => 'ok')
  const client = (await RawClient.connect(await listen(app))).get('/')
  t.after(() => client.end())
  await eventually(() => asked === 1, 'asked')
  const closed = app.close()
  assert.equal((await client.reply()).status, 200)
  client.end()
  await closed
})

type Incr = (done: Answer<{ current: number, ttl: number }>) => unknown

function storeThat (incr: Incr, seen: string[] = []): any {
  return class {
    incr (key: string, done: Answer<{ current: number, ttl: number }>) { seen.push(key); return incr(done) }
    child () { return this }
  }
}

test('a store of one\'s own that throws or answers nonsense, at once or later, has failed', async t => {
  const nonsense = [undefined, null, {}, { current: 'x', ttl: 1 }, { current: 1 }, { current: NaN, ttl: 1 }]
  const stores: Incr[] = [
    () => { throw new Error('broken') },
    ...nonsense.map((answer): Incr => done => done(null, any(answer))),
    ...nonsense.map((answer): Incr => done => { setImmediate(done, null, any(answer)) })
  ]
  for (const incr of stores) {
    const app = await limited(t, { onStoreError: 'closed', store: storeThat(incr) })
    assert.deepEqual(await statuses(app, ['/']), [503])
    assert.equal(app.quota.stats().failed, 1)
  }
})

test('a store of one\'s own whose promise rejects has failed; once it has answered, that is its own affair', async t => {
  for (const [onStoreError, reason, statusOf] of [['closed', new Error('down'), 503], ['closed', undefined, 503], ['open', new Error('down'), 200], ['local', new Error('down'), 200]] as const) {
    class Rejecting {
      async incr (): Promise<void> { throw reason }
      child () { return this }
    }
    const app = await limited(t, { max: 1, onStoreError, store: any(Rejecting) })
    assert.deepEqual(await statuses(app, ['/', '/']), [statusOf, onStoreError === 'local' ? 429 : statusOf])
    assert.equal(app.quota.stats().failed, 2)
  }
  class Late {
    async incr (_key: string, done: Answer<{ current: number, ttl: number }>): Promise<void> { done(null, { current: 1, ttl: 1 }); throw new Error('late') }
    child () { return this }
  }
  const app = await limited(t, { onStoreError: 'closed', store: any(Late) })
  assert.deepEqual(await statuses(app, ['/']), [200])
  assert.equal(app.quota.stats().failed, 0)
})

test('whatever a store fails with, and however, is told as an Error', async t => {
  const told: any[] = []
  const listener = (message: unknown) => { told.push(message) }
  subscribe('fastify-surge:store', listener)
  t.after(() => unsubscribe('fastify-surge:store', listener))
  const down = new Error('down')
  for (const [reason, message] of [[undefined, 'The store failed without a reason'], [null, 'The store failed without a reason'], ['READONLY', "The store failed: 'READONLY'"], [0, 'The store failed: 0'], [down, 'down']] as const) {
    const ways: RateLimitOptions[] = [
      { store: storeThat(() => { throw reason }) },
      { store: storeThat(async () => { throw reason }) },
      { redis: redisThat(() => { throw reason }) },
      { redis: redisThat(async () => { throw reason }) }
    ]
    if (reason !== undefined && reason !== null) ways.push({ store: storeThat(done => done(any(reason))) })
    for (const way of ways) {
      const app = await limited(t, way)
      assert.deepEqual(await statuses(app, ['/', '/', '/']), [200, 200, 200])
      const [{ up, error }] = told.splice(0)
      assert.ok(error instanceof Error)
      assert.deepEqual([up, error.message], [false, message])
    }
  }
})

test('a client cannot write another counter into its key', async t => {
  const seen: string[] = []
  const app = await limited(t, { hook: 'onRequest', keyGenerator: request => request.headers['x-key'] as string, store: storeThat(done => done(null, { current: 1, ttl: 1 }), seen) }, app => {
    app.get('/', async () => 'ok')
    app.get('/own', { config: { rateLimit: { max: 1 } } }, async () => 'ok')
  })
  await statuses(app, [{ url: '/own', headers: { 'x-key': 'ann' } }, { url: '/', headers: { 'x-key': 'GET /own|ann' } }, { url: '/', headers: { 'x-key': '203.0.113.9' } }])
  assert.deepEqual(seen, ['GET /own|ann', 'GET /own%7cann', '203.0.113.9'])
})
