// What a user of @fastify/rate-limit relies on and must find again: its options, callbacks, headers and stores.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyRequest, type InjectOptions } from 'fastify'
import rateLimit, { type RateLimitOptions } from '../../plugins/rate-limit/index.ts'
import { holdMonotonicClock } from '../support/monotonic.ts'

/** Both ways to give options: to the plugin, and to the route. */
async function bothWays (t: TestContext, options: RateLimitOptions, probe: (app: FastifyInstance, way: string) => Promise<void>): Promise<void> {
  for (const way of ['plugin', 'route']) {
    const app = Fastify()
    t.after(() => app.close())
    const given = { timeWindow: '1 minute', ...options }
    await app.register(rateLimit, way === 'plugin' ? given : { global: false })
    app.get('/', { config: way === 'plugin' ? {} : { rateLimit: given } }, async () => 'ok')
    await probe(app, way)
  }
}

async function statuses (app: FastifyInstance, requests: (string | InjectOptions)[]): Promise<number[]> {
  const seen: number[] = []
  for (const request of requests) seen.push((await app.inject(request)).statusCode)
  return seen
}

const by = (key: string): InjectOptions => ({ url: '/', headers: { 'x-key': key } })
const keyGenerator = (request: FastifyRequest) => request.headers['x-key'] as string

test('max as a function of request and key, sync and async', async t => {
  for (const max of [(_request: FastifyRequest, key: string) => key === 'pro' ? 2 : 1, async (_request: FastifyRequest, key: string) => key === 'pro' ? 2 : 1]) {
    await bothWays(t, { hook: 'onRequest', keyGenerator, max }, async app => {
      assert.deepEqual(await statuses(app, [by('pro'), by('pro'), by('pro'), by('free'), by('free')]), [200, 200, 429, 200, 429])
    })
  }
})

test('timeWindow as a string and as a function', async t => {
  const clock = holdMonotonicClock(t)
  for (const timeWindow of ['1 second', () => 1000, async () => 1000]) {
    await bothWays(t, { max: 1, timeWindow }, async app => {
      assert.deepEqual(await statuses(app, ['/', '/']), [200, 429])
      clock.advance(1000)
      assert.deepEqual(await statuses(app, ['/', '/']), [200, 429])
    })
  }
})

test('max: 0 admits nobody, timeWindow: 0 refuses nobody', async t => {
  await bothWays(t, { max: 0 }, async app => assert.deepEqual(await statuses(app, ['/']), [429]))
  await bothWays(t, { max: 1, timeWindow: 0 }, async app => assert.deepEqual(await statuses(app, ['/', '/', '/']), [200, 200, 200]))
})

test('keyGenerator, sync, async and of numbers; clients count apart', async t => {
  for (const generator of [keyGenerator, async (request: FastifyRequest) => keyGenerator(request), (request: FastifyRequest) => Number(request.headers['x-key'])]) {
    await bothWays(t, { max: 1, hook: 'onRequest', keyGenerator: generator }, async app => {
      assert.deepEqual(await statuses(app, [by('1'), by('2'), by('1'), by('2')]), [200, 200, 429, 429])
    })
  }
})

test('a keyGenerator or a callback that throws fails the request', async t => {
  for (const options of [
    { hook: 'onRequest', keyGenerator: () => { throw new Error('broken') } },
    { hook: 'preHandler', keyGenerator: async () => { throw new Error('broken') } },
    { onExceeding: () => { throw new Error('broken') } }
  ] as RateLimitOptions[]) {
    await bothWays(t, options, async app => {
      const failed = await app.inject('/')
      assert.equal(failed.statusCode, 500)
      assert.equal(failed.json().message, 'broken')
    })
  }
})

test('allowList: a list, a function and an async function; who is on it gets no headers', async t => {
  const lists: RateLimitOptions['allowList'][] = [['vip'], (_request, key) => key === 'vip', async (_request, key) => key === 'vip']
  for (const allowList of lists) {
    await bothWays(t, { max: 1, hook: 'onRequest', keyGenerator, allowList }, async app => {
      assert.deepEqual(await statuses(app, [by('vip'), by('vip'), by('bob'), by('bob')]), [200, 200, 200, 429])
      assert.equal((await app.inject(by('vip'))).headers['x-ratelimit-limit'], undefined)
    })
  }
  await bothWays(t, { max: 0, allowList: ['127.0.0.1'] }, async app => assert.deepEqual(await statuses(app, ['/', { url: '/', remoteAddress: '127.0.0.2' }]), [200, 429]))
})

test('the allow list of a route takes the place of the plugin\'s', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, { max: 0, allowList: ['127.0.0.1'] })
  app.get('/', async () => 'ok')
  app.get('/strict', { config: { rateLimit: { allowList: [] } } }, async () => 'ok')
  assert.deepEqual(await statuses(app, ['/', '/strict']), [200, 429])
})

test('ban: so many refusals, then 403 FST_SURGE_BANNED', async t => {
  await bothWays(t, { max: 1, ban: 1 }, async app => {
    assert.deepEqual(await statuses(app, ['/', '/', '/', '/']), [200, 429, 403, 403])
    const banned = await app.inject('/')
    assert.equal(banned.json().code, 'FST_SURGE_BANNED')
    assert.match(banned.headers['retry-after'] as string, /^\d+$/)
  })
  await bothWays(t, { max: 1, ban: 0 }, async app => assert.deepEqual(await statuses(app, ['/', '/']), [200, 403]))
})

test('onExceeding, onExceeded and onBanReach are told the request and the key', async t => {
  const calls: string[] = []
  const record = (name: string) => (request: FastifyRequest, key: string) => { calls.push(`${name} ${request.method} ${key}`) }
  await bothWays(t, { max: 1, ban: 1, hook: 'onRequest', keyGenerator, onExceeding: record('exceeding'), onExceeded: record('exceeded'), onBanReach: record('ban') }, async app => {
    calls.length = 0
    await statuses(app, [by('k'), by('k'), by('k')])
    assert.deepEqual(calls, ['exceeding GET k', 'exceeded GET k', 'exceeded GET k', 'ban GET k'])
  })
})

test('headers can be switched off one by one, admitted and refused apart', async t => {
  await bothWays(t, {
    max: 1,
    addHeadersOnExceeding: { 'x-ratelimit-limit': false },
    addHeaders: { 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false, 'retry-after': false }
  }, async app => {
    const names = (headers: object) => Object.keys(headers).filter(name => /ratelimit|retry/.test(name)).sort()
    assert.deepEqual(names((await app.inject('/')).headers), ['x-ratelimit-remaining', 'x-ratelimit-reset'])
    assert.deepEqual(names((await app.inject('/')).headers), ['x-ratelimit-limit'])
  })
})

test('enableDraftSpec', async t => {
  await bothWays(t, { max: 1, enableDraftSpec: true }, async app => {
    for (const remaining of ['0', '0']) {
      const { headers } = await app.inject('/')
      assert.equal(headers['ratelimit-limit'], '1')
      assert.equal(headers['ratelimit-remaining'], remaining)
      assert.equal(headers['ratelimit-reset'], '60')
      assert.equal(headers['x-ratelimit-limit'], undefined)
    }
  })
})

test('continueExceeding: each refused request keeps the client out for a whole window', async t => {
  const clock = holdMonotonicClock(t)
  await bothWays(t, { max: 1, timeWindow: 1000, continueExceeding: true }, async app => {
    await statuses(app, ['/'])
    for (let i = 0; i < 3; i++) {
      clock.advance(900)
      assert.deepEqual(await statuses(app, ['/']), [429])
    }
    clock.advance(1000)
    assert.deepEqual(await statuses(app, ['/']), [200])
  })
})

test('exponentialBackoff: each refused request doubles the wait, and the wait is enforced (fastify-rate-limit#462)', async t => {
  const clock = holdMonotonicClock(t)
  await bothWays(t, { max: 1, timeWindow: 1000, exponentialBackoff: true }, async app => {
    const resets = []
    for (let i = 0; i < 5; i++) resets.push((await app.inject('/')).headers['x-ratelimit-reset'])
    assert.deepEqual(resets, ['1', '1', '2', '4', '8'])
    clock.advance(7_999)
    assert.equal((await app.inject('/')).headers['x-ratelimit-reset'], '16')
    clock.advance(16_000)
    assert.deepEqual(await statuses(app, ['/', '/']), [200, 429])
  })
})

test('cache: so many clients are counted at least; past that the smallest debt is forgotten', async t => {
  await bothWays(t, { max: 5, cache: 8, hook: 'onRequest', keyGenerator }, async app => {
    const clients = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    for (const client of clients) await statuses(app, client === 'c' ? [by(client)] : [by(client), by(client)])
    await app.inject(by('new'))
    const remaining = []
    for (const client of ['a', 'h', 'new']) remaining.push((await app.inject(by(client))).headers['x-ratelimit-remaining'])
    assert.deepEqual(remaining, ['2', '2', '3'])
    assert.equal((await app.inject(by('c'))).headers['x-ratelimit-remaining'], '4', 'c owed the least')
  })
})

test('the lifecycle of a refused request stops in onRequest', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, { max: 0 })
  app.addHook('onRequest', async () => { throw new Error('ran') })
  app.addHook('preValidation', async () => { throw new Error('ran') })
  app.get('/', async () => 'ok')
  assert.deepEqual(await statuses(app, ['/']), [429])
})

test('two contexts have quotas of their own', async t => {
  const app = Fastify()
  t.after(() => app.close())
  for (const [prefix, max] of [['/a', 1], ['/b', 2]] as const) {
    app.register(async child => {
      await child.register(rateLimit, { max })
      child.get('/', async () => 'ok')
    }, { prefix })
  }
  assert.deepEqual(await statuses(app, ['/a', '/a', '/b', '/b', '/b']), [200, 429, 200, 200, 429])
})

interface Reported { max: unknown, timeWindow: unknown, url: unknown, method: unknown }

test('a store class of your own counts, and its child() is told of the route', async t => {
  const children: Reported[] = []
  const counts = new Map<string, number>()
  class OwnStore {
    incr (key: string, callback: (error: Error | null, result?: { current: number, ttl: number }) => void, timeWindow: number) {
      counts.set(key, (counts.get(key) ?? 0) + 1)
      callback(null, { current: counts.get(key)!, ttl: timeWindow })
    }

    child ({ max, timeWindow, routeInfo }: any) {
      children.push({ max, timeWindow, url: routeInfo.url, method: routeInfo.method })
      return this
    }
  }
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, { max: 3, timeWindow: '1 s', store: OwnStore })
  app.get('/', async () => 'ok')
  app.get('/own', { config: { rateLimit: { max: 1 } } }, async () => 'ok')
  assert.deepEqual(await statuses(app, ['/', '/', '/own', '/own', '/', '/']), [200, 200, 200, 429, 200, 429])
  assert.deepEqual(children, [{ max: 1, timeWindow: 1000, url: '/own', method: ['GET'] }])
})
