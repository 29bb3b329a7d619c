// What the rate limit counts for the metrics: each decision once, by its policy, and never by a client.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import rateLimit, { type RateLimitOptions } from '../../plugins/rate-limit/index.ts'
import { counted } from '../support/counted.ts'

const NAME = 'fastify.ratelimit.decisions'

async function limited (t: TestContext, options: RateLimitOptions): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, options)
  app.get('/', async () => 'ok')
  app.get('/free', { config: { rateLimit: false } }, async () => 'ok')
  return app
}

test('admitted, refused and banned, 404s too; nothing of a route without a quota or of a client that is allowed', async t => {
  const app = await limited(t, { max: 2, timeWindow: '1 minute', ban: 1, allowList: ['10.0.0.1'] })
  for (const url of ['/', '/nowhere', '/', '/', '/free']) await app.inject(url)
  await app.inject({ url: '/', remoteAddress: '10.0.0.1' })
  assert.deepEqual(counted(app, NAME), {
    [`${NAME} policy=default outcome=admitted`]: 2,
    [`${NAME} policy=default outcome=refused`]: 1,
    [`${NAME} policy=default outcome=banned`]: 1
  })
})

test('of several policies the one that the client is told of', async t => {
  const app = await limited(t, { policies: [{ name: 'burst', max: 2, timeWindow: 1_000 }, { name: 'hour', max: 100, timeWindow: 3_600_000 }] })
  for (let i = 0; i < 3; i++) await app.inject('/')
  assert.deepEqual(counted(app, NAME), { [`${NAME} policy=burst outcome=admitted`]: 2, [`${NAME} policy=burst outcome=refused`]: 1 })
})

test('a dry run decides as well', async t => {
  const app = await limited(t, { max: 1, dryRun: true })
  for (let i = 0; i < 2; i++) assert.equal((await app.inject('/')).statusCode, 200)
  assert.equal(counted(app, NAME)[`${NAME} policy=default outcome=refused`], 1)
})

for (const [onStoreError, outcome, statusCode] of [['open', 'uncounted', 200], ['closed', 'unavailable', 503]] as const) {
  test(`a store that fails, with onStoreError '${onStoreError}', leaves ${outcome}`, async t => {
    class Broken {
      incr (_key: string, done: (error: Error) => void): void { done(new Error('down')) }
      child (): Broken { return this }
    }
    const app = await limited(t, { max: 1, onStoreError, store: Broken as any })
    assert.equal((await app.inject('/')).statusCode, statusCode)
    assert.deepEqual(counted(app, NAME), { [`${NAME} policy=default outcome=${outcome}`]: 1 })
  })
}

test('createRateLimit() counts what it takes, and not what it only looks at', async t => {
  const app = await limited(t, { global: false, max: 5 })
  const check = app.createRateLimit()
  app.get('/checked', async request => { await check(request, { increment: false }); return await check(request) })
  await app.inject('/checked')
  assert.deepEqual(counted(app, NAME), { [`${NAME} policy=default outcome=admitted`]: 1 })
})
