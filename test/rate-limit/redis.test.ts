// Redis as it is: a server of the test's own, and the three clients. What goes wrong with it is in redis-failures.test.ts.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis as IoRedis } from 'ioredis'
import { Redis as IoValkey } from 'iovalkey'
import { createClient } from 'redis'
import fc from 'fast-check'
import rateLimit, { type RateLimitOptions } from '../../plugins/rate-limit/index.ts'
import type { Claim } from '../../plugins/rate-limit/counter.ts'
import { decide, giveBack, look, Policy, type Decision } from '../../plugins/rate-limit/gcra.ts'
import { RedisStore } from '../../plugins/rate-limit/redis-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { RedisServer, skip } from './redis-server.ts'

async function ioredis (t: TestContext, port: number): Promise<IoRedis> {
  const client = new IoRedis(port, '127.0.0.1')
  client.on('error', () => {})
  t.after(() => client.disconnect())
  return client
}

async function limited (t: TestContext, redis: unknown, options: RateLimitOptions, routes: (app: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, { redis, timeWindow: '1 hour', storeTimeout: 5_000, ...options })
  routes(app)
  await app.ready()
  return app
}

async function statuses (app: FastifyInstance, urls: string[]): Promise<number[]> {
  const seen: number[] = []
  for (const url of urls) seen.push((await app.inject(url)).statusCode)
  return seen
}

const clients: Record<string, (t: TestContext, port: number) => Promise<unknown>> = {
  ioredis,
  async iovalkey (t, port) {
    const client = new IoValkey(port, '127.0.0.1')
    client.on('error', () => {})
    t.after(() => client.disconnect())
    return client
  },
  async 'node-redis' (t, port) {
    const client = createClient({ url: `redis://127.0.0.1:${port}` })
    client.on('error', () => {})
    await client.connect()
    t.after(() => client.destroy())
    return client
  }
}

for (const [name, connect] of Object.entries(clients)) {
  test(`${name}: routes count apart, groups and servers together; charge, refund, peek and reset`, { skip }, async t => {
    const { port } = await RedisServer.start(t)
    const routes = (app: FastifyInstance) => {
      app.get('/', async () => 'ok')
      app.get('/own', { config: { rateLimit: { max: 1 } } }, async () => 'ok')
      app.get('/a', { config: { rateLimit: { groupId: 'g' } } }, async () => 'ok')
      app.get('/b', { config: { rateLimit: { groupId: 'g' } } }, async () => 'ok')
    }
    const one = await limited(t, await connect(t, port), { max: 3 }, routes)
    const other = await limited(t, await connect(t, port), { max: 3 }, routes)
    assert.deepEqual(await statuses(one, ['/', '/own', '/own', '/a', '/a']), [200, 200, 429, 200, 200])
    assert.deepEqual(await statuses(other, ['/', '/own', '/b', '/b', '/']), [200, 429, 200, 429, 200])
    assert.deepEqual(await statuses(one, ['/']), [429])
    const client = { key: '127.0.0.1' }
    assert.equal((await other.quota.peek(client))!.exceeded, true)
    assert.equal((await other.quota.refund(client, 2))!.remaining, 2)
    assert.equal((await other.quota.charge(client, 1))!.remaining, 1)
    assert.equal((await other.quota.refund(client))!.remaining, 2)
    assert.equal((await other.quota.charge(client, 1))!.remaining, 1)
    await other.quota.reset({ ...client, group: 'g' })
    assert.deepEqual(await statuses(other, ['/b', '/a', '/a', '/a']), [200, 200, 200, 429])
  })
}

test('one round trip a decision, none for a refusal that is known', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const client = await ioredis(t, port)
  const app = await limited(t, client, { max: 3 }, app => { app.get('/', async () => 'ok') })
  const calls = async () => Object.fromEntries([...(await client.info('commandstats')).matchAll(/cmdstat_(evalsha|eval):calls=(\d+)/g)].map(([, name, count]) => [name, Number(count)]))
  await app.inject('/')
  await client.config('RESETSTAT')
  await statuses(app, ['/', '/', '/', '/', '/', '/'])
  assert.deepEqual(await calls(), { evalsha: 3 })
  assert.equal(app.quota.stats().known, 3)
  assert.equal(app.quota.stats().asked, 4)
})

test('every key expires: with its debt, and again where somebody took its expiry away', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const client = await ioredis(t, port)
  const app = await limited(t, client, { max: 2, timeWindow: 60_000, nameSpace: 'mine-', ban: 100 }, app => { app.get('/', async () => 'ok') })
  await app.inject('/')
  const [key] = await client.keys('*')
  assert.equal(key, 'mine-{127.0.0.1}')
  const expires = async (atMost: number) => {
    const ttl = await client.pttl(key!)
    assert.ok(ttl > 0 && ttl <= atMost, String(ttl))
  }
  await expires(30_001)
  await client.persist(key!)
  await app.inject('/')
  await expires(60_001)
  await client.persist(key!)
  assert.equal((await app.inject('/')).statusCode, 429)
  await expires(60_001)
})

test('what is no account counts as none: text, a list, a debt from an hour ahead of the clock', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const client = await ioredis(t, port)
  const app = await limited(t, client, { max: 2, timeWindow: 60_000 }, app => { app.get('/', async () => 'ok') })
  const key = 'fastify-surge-quota-{127.0.0.1}'
  await client.set(key, 'what is this')
  assert.equal((await app.inject('/')).headers['x-ratelimit-remaining'], '1')
  await client.del(key)
  await client.rpush(key, 'a', 'b')
  assert.equal((await app.inject('/')).headers['x-ratelimit-remaining'], '1')
  // Written before the server's clock was set back an hour: the debt is what it was, not an hour more.
  await client.set(key, `${(Date.now() + 3_600_000) * 1000} 60000000 0`)
  const refused = await app.inject('/')
  assert.equal(refused.statusCode, 429)
  assert.equal(refused.headers['x-ratelimit-reset'], '30')
})

test('a server clock that was set back: debts go on from where it is now, also those of who is refused', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const client = await ioredis(t, port)
  // A ban has every refusal asked of the server.
  const app = await limited(t, client, { max: 2, timeWindow: 60_000, ban: 100 }, app => { app.get('/', async () => 'ok') })
  const key = 'fastify-surge-quota-{127.0.0.1}'
  const ahead = (Date.now() + 3_600_000) * 1000
  await client.set(key, `${ahead} 60000000 0`)
  assert.equal((await app.inject('/')).statusCode, 429)
  const [written, debt] = (await client.get(key))!.split(' ').map(Number)
  assert.ok(written! < ahead - 3_000_000_000, `${written} ${ahead}`)
  assert.equal(debt, 60_000_000)
})

test('who is refused without a penalty is not held back by a clock that was set back, either', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const client = await ioredis(t, port)
  const app = await limited(t, client, { max: 1, timeWindow: 60_000 }, app => { app.get('/', async () => 'ok') })
  const key = 'fastify-surge-quota-{127.0.0.1}'
  const ahead = (Date.now() + 3_600_000) * 1000
  await client.set(key, `${ahead} 60000000 0`)
  assert.equal((await app.inject('/')).statusCode, 429)
  assert.ok(Number((await client.get(key))!.split(' ')[0]) < ahead - 3_000_000_000)
  assert.ok(await client.pttl(key) > 0)
})

test('a refusal that is known holds for the quota that refused, not for a larger one of the same group', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const app = await limited(t, await ioredis(t, port), {}, app => {
    app.get('/small', { config: { rateLimit: { groupId: 'g', max: 1 } } }, async () => 'ok')
    app.get('/large', { config: { rateLimit: { groupId: 'g', max: 1, burst: 3 } } }, async () => 'ok')
  })
  assert.deepEqual(await statuses(app, ['/small', '/small', '/small', '/large', '/large', '/large', '/large']), [200, 429, 429, 200, 200, 429, 429])
  assert.equal(app.quota.stats().known, 2)
})

test('windows of a hundred years, costs of any size', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const app = await limited(t, await ioredis(t, port), {}, app => {
    app.get('/', { config: { rateLimit: { max: 3, timeWindow: '100 years' } } }, async () => 'ok')
    app.get('/tiny', { config: { rateLimit: { max: 1, timeWindow: 1 } } }, async () => 'ok')
    app.get('/cost', { config: { rateLimit: { max: 10, cost: request => Number((request.query as any).n) } } }, async request => (await app.quota.charge(request, 1e300))!.remaining)
    app.get('/unlimited', { config: { rateLimit: { max: () => Infinity } } }, async () => 'ok')
  })
  assert.deepEqual(await statuses(app, ['/', '/', '/', '/', '/tiny', '/unlimited', '/unlimited']), [200, 200, 200, 429, 200, 200, 200])
  assert.deepEqual(await statuses(app, ['/cost?n=Infinity', '/cost?n=1']), [200, 429])
  const { up, failed } = app.quota.stats()
  assert.deepEqual({ up, failed }, { up: true, failed: 0 })
})

test('a refusal leaves a key without expiry with one', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const client = await ioredis(t, port)
  const app = await limited(t, client, { max: 2, timeWindow: 60_000 }, app => { app.get('/', async () => 'ok') })
  const key = 'fastify-surge-quota-{127.0.0.1}'
  await client.set(key, `${Date.now() * 1000} 60000000 0`)
  assert.equal(await client.pttl(key), -1)
  assert.equal((await app.inject('/')).statusCode, 429)
  const ttl = await client.pttl(key)
  assert.ok(ttl > 0 && ttl <= 60_001, String(ttl))
})

test('the script decides as gcra.ts does', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const client = await ioredis(t, port)
  const store = new RedisStore(client, 'model-', new FakeClock())
  let run = 0
  // Intervals of minutes and more, so that the time that the test takes pays off nothing that shows.
  const policy = fc.record({ max: fc.integer({ min: 0, max: 20 }), window: fc.constantFrom(86_400_000, 864_000_000), burst: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }) })
  const penalties = fc.record({ ban: fc.integer({ min: -1, max: 2 }), continueExceeding: fc.boolean(), exponentialBackoff: fc.boolean() })
  await fc.assert(fc.asyncProperty(fc.array(policy, { minLength: 1, maxLength: 3 }), penalties, fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 12 }), async (options, penalties, costs) => {
    const policies = options.map(option => new Policy(option))
    const accounts = policies.map(() => ({ debt: 0, strikes: 0 }))
    const counter = store.counter(`run ${run++}`, penalties)
    for (const cost of costs) {
      const expected = decide(policies, cost, penalties, accounts)
      const claim: Claim = { key: 'x', policies, cost, onStoreError: 'local' }
      const got = await new Promise<Decision>((resolve, reject) => counter.take(claim, (error, decision) => error === null ? resolve(decision!) : reject(error)))
      assert.equal(got.outcome, expected.outcome)
      assert.equal(got.told.policy, expected.told.policy)
      assert.deepEqual(got.levels.map(({ remaining }) => remaining), expected.levels.map(({ remaining }) => remaining))
      assert.ok(Math.abs(got.wait - expected.wait) < 20_000, `${got.wait} ${expected.wait}`)
      if (expected.outcome !== 'admitted' || cost % 2 === 0) continue
      giveBack(policies, cost, accounts)
      const back = await new Promise<Decision>((resolve, reject) => counter.refund(claim, (error, decision) => error === null ? resolve(decision!) : reject(error)))
      const stands = look(policies, penalties, accounts)
      assert.deepEqual([back.outcome, back.levels.map(({ remaining }) => remaining)], [stands.outcome, stands.levels.map(({ remaining }) => remaining)])
    }
  }), { numRuns: 60 })
})

test('a client cannot choose the slot of a cluster, nor how long a key is', async () => {
  const keys: string[] = []
  const fake = { async evalSha (_sha: string, { keys: [key] }: { keys: string[] }) { keys.push(key!); return [0, 0, 0, 0] }, eval () {} }
  const counter = new RedisStore(fake, 'ns-', new FakeClock()).counter('GET /a', { ban: -1, continueExceeding: false, exponentialBackoff: false })
  for (const key of ['plain', '}x{y', '%7d', 'k'.repeat(10_000)]) counter.take({ key, policies: [new Policy({ max: 1, window: 1000 })], cost: 1, onStoreError: 'local' }, () => {})
  assert.deepEqual(keys.slice(0, 3), ['ns-{GET /a|plain}', 'ns-{GET /a|%7dx%7by}', 'ns-{GET /a|%257d}'])
  assert.match(keys[3]!, /^ns-\{\|[\w-]{43}\}$/)
  const common = new RedisStore(fake, 'ns-', new FakeClock()).counter('', { ban: -1, continueExceeding: false, exponentialBackoff: false })
  for (const key of ['GET /a|plain', keys[3]!.slice(4, -1)]) common.take({ key, policies: [new Policy({ max: 1, window: 1000 })], cost: 1, onStoreError: 'local' }, () => {})
  assert.equal(new Set(keys).size, keys.length, 'nor another counter')
})

test('two processes share a quota: within 1 % of it pass', { skip }, async t => {
  const { port } = await RedisServer.start(t)
  const max = 1_000
  const children = [0, 1].map(() => fork(new URL('redis-child.ts', import.meta.url), [String(port), String(max), '900'], { execArgv: ['--import', 'tsx'] }))
  t.after(() => { for (const child of children) child.kill() })
  const admitted = await Promise.all(children.map(async child => (await once(child, 'message'))[0] as number))
  const sum = admitted[0]! + admitted[1]!
  assert.ok(sum >= max && sum <= max * 1.01, String(admitted))
  assert.ok(Math.min(...admitted) > 0, 'both had a part')
})
