// The Redis store through a client that only does what its two scripts do.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import rateLimit, { type RateLimitOptions } from '../../plugins/rate-limit/index.ts'

type Reply = (error: Error | null, result?: [number, number]) => void

class FakeRedis {
  readonly counts = new Map<string, number>()
  failing = false
  rateLimit?: unknown
  rateLimitRead?: unknown

  defineCommand (name: 'rateLimit' | 'rateLimitRead'): void {
    this[name] = (key: string, window: number, _max: number, _continueExceeding: boolean, _backoff: boolean, reply: Reply) => {
      if (this.failing) {
        setImmediate(reply, new Error('READONLY'))
        return
      }
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1)
      setImmediate(reply, null, [this.counts.get(key)!, window])
    }
  }
}

async function limited (t: TestContext, redis: FakeRedis, options: RateLimitOptions, routes: (app: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, { redis, timeWindow: 1000, ...options })
  routes(app)
  return app
}

async function statuses (app: FastifyInstance, urls: string[]): Promise<number[]> {
  const seen: number[] = []
  for (const url of urls) seen.push((await app.inject(url)).statusCode)
  return seen
}

test('quotas of different routes do not merge (createRateLimit gives all of them one prefix)', async t => {
  const app = await limited(t, new FakeRedis(), { max: 5 }, app => {
    app.get('/', async () => 'ok')
    app.get('/a', { config: { rateLimit: { max: 1 } } }, async () => 'ok')
    app.get('/b', { config: { rateLimit: { max: 1 } } }, async () => 'ok')
  })
  assert.deepEqual(await statuses(app, ['/a', '/b', '/', '/a', '/b', '/']), [200, 200, 200, 429, 429, 200])
})

test('two servers share the counters, groups too', async t => {
  const redis = new FakeRedis()
  const routes = (app: FastifyInstance) => {
    app.get('/', async () => 'ok')
    app.get('/a', { config: { rateLimit: { groupId: 'g' } } }, async () => 'ok')
    app.get('/b', { config: { rateLimit: { groupId: 'g' } } }, async () => 'ok')
  }
  const one = await limited(t, redis, { max: 1 }, routes)
  const other = await limited(t, redis, { max: 1 }, routes)
  assert.deepEqual(await statuses(one, ['/', '/a']), [200, 200])
  assert.deepEqual(await statuses(other, ['/', '/b']), [429, 429])
})

test('nameSpace is the prefix of every key', async t => {
  const redis = new FakeRedis()
  const app = await limited(t, redis, { nameSpace: 'mine-' }, app => {
    app.get('/', async () => 'ok')
    app.get('/a', { config: { rateLimit: { max: 1 } } }, async () => 'ok')
  })
  await statuses(app, ['/', '/a'])
  const [common, own] = [...redis.counts.keys()]
  assert.equal(common, 'mine-127.0.0.1')
  assert.match(own!, /^mine-.*GET \/a 127\.0\.0\.1$/)
})

for (const hook of ['onRequest', 'preHandler'] as const) {
  test(`a store that fails in ${hook} fails the request, or lets it pass with skipOnError`, async t => {
    for (const [skipOnError, dryRun, status] of [[false, false, 500], [true, false, 200], [false, true, 200]] as const) {
      const redis = new FakeRedis()
      redis.failing = true
      const app = await limited(t, redis, { hook, skipOnError, dryRun }, app => {
        app.get('/', async () => 'ok')
        app.get('/own', { config: { rateLimit: { max: 1 } } }, async () => 'ok')
      })
      for (const url of ['/', '/own', '/nope']) {
        const reply = await app.inject(url)
        assert.equal(reply.statusCode, url === '/nope' && status === 200 ? 404 : status, `${url} ${skipOnError} ${dryRun}`)
        if (status === 500) assert.equal(reply.json().message, 'READONLY')
      }
    }
  })
}
