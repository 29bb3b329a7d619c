import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions, type InjectOptions } from 'fastify'
import officialRateLimit from '@fastify/rate-limit'
import concurrency from '../../plugins/concurrency/index.ts'
import rateLimit, { type RateLimitOptions } from '../../plugins/rate-limit/index.ts'
import { setSuiteState } from '../../plugins/shared/suite-state.ts'
import { holdMonotonicClock } from '../support/monotonic.ts'
import { RawClient, deferred, eventually, listen } from '../support/raw-http.ts'

async function limited (t: TestContext, options: RateLimitOptions, routes: (app: FastifyInstance) => void = app => { app.get('/', async () => 'ok') }, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app = Fastify(server)
  t.after(() => app.close())
  await app.register(rateLimit, { timeWindow: '1 minute', ...options })
  routes(app)
  await app.ready()
  return app
}

function logging (): { lines: any[], server: FastifyServerOptions } {
  const lines: any[] = []
  return { lines, server: { logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } } }
}

async function statuses (app: FastifyInstance, requests: (string | InjectOptions)[]): Promise<number[]> {
  const seen: number[] = []
  for (const request of requests) seen.push((await app.inject(request)).statusCode)
  return seen
}

test('the request past the quota gets a prepared 429, and requests come back one by one', async t => {
  const clock = holdMonotonicClock(t)
  const app = await limited(t, { max: 2 })
  const first = await app.inject('/')
  assert.equal(first.headers['x-ratelimit-limit'], '2')
  assert.equal(first.headers['x-ratelimit-remaining'], '1')
  assert.equal(first.headers['x-ratelimit-reset'], '30')
  assert.equal(first.headers['retry-after'], undefined)
  clock.advance(20_000)
  assert.equal((await app.inject('/')).headers['x-ratelimit-reset'], '40')
  const refused = await app.inject('/')
  assert.equal(refused.statusCode, 429)
  assert.deepEqual(refused.json(), { statusCode: 429, code: 'FST_SURGE_RATE_LIMITED', error: 'Too Many Requests', message: 'Rate limit exceeded' })
  assert.equal(refused.headers['x-ratelimit-remaining'], '0')
  assert.equal(refused.headers['x-ratelimit-reset'], '10')
  assert.equal(refused.headers['cache-control'], 'no-store')
  clock.advance(9_999)
  assert.equal((await app.inject('/')).statusCode, 429)
  clock.advance(1)
  assert.deepEqual(await statuses(app, ['/', '/']), [200, 429])
  clock.advance(60_000)
  assert.equal((await app.inject('/')).headers['x-ratelimit-remaining'], '1')
})

test('a step of the wall clock by an hour, either way, changes nothing', async t => {
  const clock = holdMonotonicClock(t)
  t.mock.timers.enable({ apis: ['Date'], now: 1_800_000_000_000 })
  const app = await limited(t, { max: 2 })
  const resets = []
  for (const now of [1_800_000_000_000, 1_800_003_600_000, 1_799_996_400_000]) {
    t.mock.timers.setTime(now)
    resets.push((await app.inject('/')).headers['x-ratelimit-reset'])
  }
  assert.deepEqual(resets, ['30', '60', '30'])
  clock.advance(30_000)
  assert.equal((await app.inject('/')).statusCode, 200)
})

test('Retry-After is an integer, never below the true wait, and spread', async t => {
  const app = await limited(t, { max: 0, timeWindow: 30_000 })
  const seen = new Set<number>()
  for (let i = 0; i < 60; i++) {
    const value = (await app.inject('/')).headers['retry-after'] as string
    assert.match(value, /^\d+$/)
    seen.add(Number(value))
  }
  assert.ok(Math.min(...seen) >= 30 && Math.max(...seen) <= 46, String([...seen]))
  assert.ok(seen.size > 1)
})

test('who comes back after Retry-After is admitted, whatever the quota and its penalties', async t => {
  const clock = holdMonotonicClock(t)
  t.mock.method(Math, 'random', () => 0)
  const quotas: RateLimitOptions[] = [
    { max: 7, timeWindow: 1000 }, { max: 3, timeWindow: '1 minute', burst: 1 }, { max: 600_000, timeWindow: 7, burst: 2 },
    { max: 10, timeWindow: '1 hour', cost: 4 }, { max: 2, timeWindow: 1500, ban: 1 }, { max: 1, timeWindow: 900, continueExceeding: true },
    { max: 2, timeWindow: 2500, exponentialBackoff: true, ban: 2 },
    { timeWindow: undefined, policies: [{ max: 3, timeWindow: '1 s' }, { max: 4, timeWindow: 61_001 }, { max: 1000, timeWindow: '1 h' }] }
  ]
  for (const quota of quotas) {
    const app = await limited(t, quota)
    for (let round = 0; round < 12; round++) {
      let refused = await app.inject('/')
      for (let i = 0; i < 5 && refused.statusCode === 200; i++) refused = await app.inject('/')
      if (refused.statusCode === 200) continue
      // Asks again at once, up to three times, and then waits as long as it was told last.
      for (let i = round % 4; i > 0; i--) refused = await app.inject('/')
      clock.advance(Number(refused.headers['retry-after']) * 1000)
      assert.equal((await app.inject('/')).statusCode, 200, JSON.stringify(quota))
      clock.advance(round * 137.3)
    }
  }
})

test('404s, OPTIONS and methods that nobody declared are limited, on the same counter as the routes', async t => {
  const app = await limited(t, { max: 3 })
  assert.deepEqual(await statuses(app, ['/nope', { method: 'OPTIONS', url: '/' }, { method: 'DELETE', url: '/' }, '/other', '/']), [404, 404, 404, 429, 429])
})

test('HEAD shares the counter of GET and costs one, not two (the automatic HEAD route runs onRoute again)', async t => {
  const app = await limited(t, {}, app => { app.get('/', { config: { rateLimit: { max: 4 } } }, async () => 'ok') })
  const remaining = []
  for (const method of ['GET', 'HEAD', 'GET', 'HEAD', 'HEAD'] as const) {
    remaining.push((await app.inject({ method, url: '/' })).headers['x-ratelimit-remaining'])
  }
  assert.deepEqual(remaining, ['3', '2', '1', '0', '0'])
})

test('routes without a config share one counter a client, a route with one has its own', async t => {
  const app = await limited(t, { max: 2 }, app => {
    app.get('/a', async () => 'ok')
    app.get('/b', async () => 'ok')
    app.get('/own', { config: { rateLimit: { max: 1 } } }, async () => 'ok')
    app.get('/free', { config: { rateLimit: false } }, async () => 'ok')
  })
  assert.deepEqual(await statuses(app, ['/a', '/b', '/a', '/own', '/own', '/free', '/free', '/free']), [200, 200, 429, 200, 429, 200, 200, 200])
})

test('routes declared before the plugin, or in a context below it, are limited (fastify-rate-limit#292, #362)', async t => {
  const app = Fastify()
  t.after(() => app.close())
  app.get('/early', { config: { rateLimit: { max: 1 } } }, async () => 'ok')
  app.get('/late-hook', { config: { rateLimit: { max: 1, hook: 'preHandler' } } }, async () => 'ok')
  app.register(rateLimit, { max: 5 })
  app.register(async child => { child.get('/child', { config: { rateLimit: { max: 1 } } }, async () => 'ok') })
  assert.deepEqual(await statuses(app, ['/early', '/early', '/child', '/child', '/late-hook', '/late-hook']), [200, 429, 200, 429, 200, 429])
})

test('global: false limits only routes with a config', async t => {
  const app = await limited(t, { max: 1, global: false }, app => {
    app.get('/', async () => 'ok')
    app.get('/own', { config: { rateLimit: {} } }, async () => 'ok')
  })
  assert.deepEqual(await statuses(app, ['/', '/', '/nope', '/nope', '/own', '/own']), [200, 200, 404, 404, 200, 429])
})

test('slash, case and encoded variants of a route share its counter', async t => {
  const app = await limited(t, {}, app => { app.get('/items/:id', { config: { rateLimit: { max: 3 } } }, async () => 'ok') },
    { routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, caseSensitive: false } })
  assert.deepEqual(await statuses(app, ['/items/1', '/ITEMS/1/', '/%69tems//1', '/items/2?x=1']), [200, 200, 200, 429])
})

test('X-Forwarded-For gives no new bucket unless the peer is a trusted proxy', async t => {
  const rows: [trustProxy: any, peer: string, status: number][] = [
    [false, '203.0.113.9', 429],
    [['10.0.0.1'], '203.0.113.9', 429],
    [['10.0.0.1'], '10.0.0.1', 200]
  ]
  for (const [trustProxy, remoteAddress, status] of rows) {
    const app = await limited(t, { max: 1 }, undefined, { trustProxy })
    const forwarded = (address: string) => ({ url: '/', remoteAddress, headers: { 'x-forwarded-for': address } })
    assert.deepEqual(await statuses(app, [forwarded('198.51.100.1'), forwarded('198.51.100.2')]), [200, status], JSON.stringify({ trustProxy, remoteAddress }))
  }
})

test('a port that a proxy writes behind the address gives no new bucket', async t => {
  for (const addresses of [['198.51.100.1:4001', '198.51.100.1:4002', '198.51.100.1'], ['[2001:db8::1]:4001', '[2001:db8::1]', '2001:db8::2']]) {
    const app = await limited(t, { max: 1 }, undefined, { trustProxy: ['10.0.0.1'] })
    assert.deepEqual(await statuses(app, addresses.map(address => ({ url: '/', remoteAddress: '10.0.0.1', headers: { 'x-forwarded-for': address } }))), [200, 429, 429], addresses[0])
  }
})

test('unsafe trustProxy settings are named at boot', async t => {
  for (const [trustProxy, says] of [[true, /any client choose its own address/], [1, /trusts nobody/], [['10.0.0.1'], undefined]] as const) {
    const { lines, server } = logging()
    await limited(t, {}, undefined, { ...server, trustProxy: trustProxy as any })
    assert.equal(lines.some(line => says?.test(line.msg)), says !== undefined)
  }
})

test('an IPv6 prefix is one client, IPv4 mapped into IPv6 is the IPv4 client', async t => {
  const rows: [first: string, second: string, status: number, ipv6Subnet?: number][] = [
    ['2001:db8::1', '2001:db8::ffff:1', 429],
    ['2001:db8::1', '2001:db8:0:1::1', 200],
    ['2001:db8::1', '2001:db8:0:1::1', 429, 48],
    ['2001:db8::1', '2001:db8::2', 200, 128],
    ['192.0.2.1', '::ffff:192.0.2.1', 429],
    ['192.0.2.1', '192.0.2.2', 200],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.2', 200]
  ]
  for (const [first, second, status, ipv6Subnet] of rows) {
    for (const config of [undefined, { max: 1 }]) {
      const app = await limited(t, { max: 1, ipv6Subnet }, app => { app.get('/', { config: { rateLimit: config } }, async () => 'ok') })
      assert.deepEqual(await statuses(app, [{ url: '/', remoteAddress: first }, { url: '/', remoteAddress: second }]), [200, status], `${first} ${second} /${ipv6Subnet ?? 64}`)
    }
  }
})

test('an address in the allow list is that address, although its key is a whole prefix', async t => {
  const app = await limited(t, { max: 0, allowList: ['2001:db8::1'] })
  assert.deepEqual(await statuses(app, [{ url: '/', remoteAddress: '2001:db8::1' }, { url: '/', remoteAddress: '2001:db8::2' }]), [200, 429])
})

test('routes of one group share one counter, each with its own max (fastify-rate-limit#463)', async t => {
  const app = await limited(t, {}, app => {
    app.get('/otp/send', { config: { rateLimit: { max: 3, groupId: 'otp' } } }, async () => 'ok')
    app.get('/otp/resend', { config: { rateLimit: { max: 2, groupId: 'otp' } } }, async () => 'ok')
    app.get('/other', { config: { rateLimit: { max: 3, groupId: 'other' } } }, async () => 'ok')
  })
  const remaining = []
  for (const url of ['/otp/send', '/otp/resend', '/otp/resend', '/otp/send', '/other']) remaining.push((await app.inject(url)).headers['x-ratelimit-remaining'])
  assert.deepEqual(remaining, ['2', '0', '0', '0', '2'])
})

test('a list of keys matches with groupId too, and callbacks are given the key of the user', async t => {
  const keys: string[] = []
  const app = await limited(t, { hook: 'onRequest', keyGenerator: request => request.headers['x-key'] as string }, app => {
    app.get('/', {
      config: {
        rateLimit: {
          groupId: 'g',
          allowList: ['vip'],
          max: (_request: unknown, key: string) => { keys.push(`max ${key}`); return 0 },
          timeWindow: (_request: unknown, key: string) => { keys.push(`window ${key}`); return 1000 },
          onExceeded: (_request: unknown, key: string) => { keys.push(`exceeded ${key}`) }
        }
      }
    }, async () => 'ok')
  })
  assert.deepEqual(await statuses(app, [{ url: '/', headers: { 'x-key': 'vip' } }, { url: '/', headers: { 'x-key': 'bob' } }]), [200, 429])
  assert.deepEqual(keys, ['max bob', 'window bob', 'exceeded bob'])
})

test('members of a group must agree on what belongs to their counter', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, {})
  app.get('/a', { config: { rateLimit: { groupId: 'g', ban: 3 } } }, async () => 'ok')
  assert.throws(() => app.get('/b', { config: { rateLimit: { groupId: 'g', ban: 4 } } }, async () => 'ok'),
    { code: 'FST_SURGE_BAD_OPTION', message: /`config\.rateLimit\.ban` of GET \/b to be 3, as in GET \/a, got 4/ })
})

test('the overrides of the umbrella reach a route of somebody else', async t => {
  const app = Fastify()
  t.after(() => app.close())
  setSuiteState(app, { dryRun: false, onRefused: undefined, routes: { '/graphql': { rateLimit: { max: 1 } }, 'GET /free': { rateLimit: false } } })
  await app.register(rateLimit, { max: 2 })
  for (const url of ['/graphql', '/free', '/']) app.get(url, async () => 'ok')
  assert.deepEqual(await statuses(app, ['/graphql', '/graphql', '/free', '/free', '/free', '/', '/', '/']), [200, 429, 200, 200, 200, 200, 200, 429])
})

test('bad config of a route fails at boot', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, {})
  const bad = (rateLimit: any, says: RegExp) => assert.throws(
    () => app.get('/', { config: { rateLimit } }, async () => 'ok'), { code: 'FST_SURGE_BAD_OPTION', message: says })
  bad({ maxx: 1 }, /config\.rateLimit of GET \/\.maxx.*Did you mean `max`/)
  bad({ timeWindow: 'soon' }, /got 'soon'/)
  bad({ redis: {} }, /once, in the plugin's options/)
  bad(true, /to be an object or false/)
})

test('it decides before the gate: a refused request takes no slot and no place in the queue', async t => {
  const gate = deferred()
  const app = Fastify()
  t.after(() => app.close())
  await app.register(concurrency, { limit: 1, maxQueue: 0 })
  await app.register(rateLimit, { max: 1 })
  app.get('/', async () => { await gate.promise; return 'ok' })
  const held = app.inject('/')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  assert.equal((await app.inject('/')).statusCode, 429)
  assert.ok(Object.values(app.concurrency.stats().shed).every(count => count === 0))
  gate.resolve()
  assert.equal((await held).statusCode, 200)
})

for (const hook of ['preParsing', 'preValidation', 'preHandler'] as const) {
  test(`hook: '${hook}' decides there, sees what earlier hooks set, and gives the slot back`, async t => {
    const app = Fastify()
    t.after(() => app.close())
    await app.register(concurrency, { limit: 10 })
    await app.register(rateLimit, { max: 100 })
    app.decorateRequest('user', '')
    app.addHook('onRequest', async request => { (request as any).user = request.headers['x-user'] })
    app.post('/', { config: { rateLimit: { max: 1, hook, keyGenerator: (request: any) => request.user } } }, async () => 'ok')
    const port = await listen(app)
    const client = await RawClient.connect(port)
    t.after(() => client.end())
    const seen = []
    for (const user of ['ann', 'bob', 'ann', 'bob']) {
      const reply = await client.post('/', '{"a":1}', `X-User: ${user}\r\n`).reply()
      seen.push(reply.status)
      assert.equal(reply.headers['x-ratelimit-limit'], '1')
    }
    assert.deepEqual(seen, [200, 200, 429, 429])
    await eventually(() => app.concurrency.stats().inflight === 0, 'slots back')
    assert.equal(app.concurrency.stats().orphans, 0)
  })
}

for (const [hook, where] of [['preParsing', 'plugin'], ['preValidation', 'route'], ['preHandler', 'plugin'], ['preHandler', 'route'], ['preHandler', 'group']] as const) {
  test(`hook: '${hook}' of the ${where} runs behind hooks that were added later, those of a context below, and the route's own; HEAD once`, async t => {
    const app = Fastify()
    t.after(() => app.close())
    const keyGenerator = (request: any) => request.user.id
    const rule = { max: 1, hook, keyGenerator, groupId: where === 'group' ? 'g' : undefined }
    await app.register(rateLimit, where === 'plugin' ? rule : { global: false })
    const config: { rateLimit?: typeof rule } = where === 'plugin' ? {} : { rateLimit: rule }
    app.decorateRequest('user', null)
    const seen: string[] = []
    const authenticate = (by: string) => async (request: FastifyRequest) => {
      seen.push(by)
      ;(request as any).user = { id: `${by} ${request.headers['x-user'] as string}` }
    }
    app.get('/route', { config, [hook]: authenticate('route') }, async () => 'ok')
    app.get('/routes', { config, [hook]: [authenticate('first'), authenticate('last')] }, async () => 'ok')
    app.register(async child => {
      child.get('/child', { config }, async () => 'ok')
      child.addHook(hook as 'preHandler', authenticate('child'))
    })
    const requests: [method: 'GET' | 'HEAD', url: string, user: string][] = [
      ['GET', '/route', 'ann'], ['GET', '/route', 'bob'], ['GET', '/route', 'ann'],
      ['HEAD', '/routes', 'ann'], ['GET', '/routes', 'ann'],
      ['GET', '/child', 'ann'], ['HEAD', '/child', 'bob'], ['HEAD', '/child', 'ann']
    ]
    assert.deepEqual(await statuses(app, requests.map(([method, url, user]) => ({ method, url, headers: { 'x-user': user } }))), [200, 200, 429, 200, 429, 200, 200, 429])
    assert.deepEqual(seen.slice(0, 4), ['route', 'route', 'route', 'first'])
  })
}

test('a client that leaves while the store answers gets no handler, and its slot comes back', async t => {
  for (const hook of ['onRequest', 'preHandler'] as const) {
    const answer = deferred<number>()
    let asked = 0
    let handled = 0
    const app = Fastify()
    t.after(() => app.close())
    await app.register(concurrency, { limit: 10 })
    await app.register(rateLimit, { hook, max: () => { asked++; return answer.promise } })
    app.get('/', async () => { handled++; return 'ok' })
    const port = await listen(app)
    let gone = false
    app.server.once('connection', socket => socket.once('close', () => { gone = true }))
    const client = (await RawClient.connect(port)).get('/')
    await eventually(() => asked === 1, 'asked')
    client.reset()
    await eventually(() => gone, 'gone')
    answer.resolve(5)
    await eventually(() => app.concurrency.stats().inflight === 0, 'slot back')
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(handled, 0, hook)
  }
})

test('what fails in a gate behind a store that has answered fails its request, and nobody else', async t => {
  class Late {
    incr (_key: string, done: (error: null, counted: { current: number, ttl: number }) => void) { setImmediate(done, null, { current: 1, ttl: 1 }) }
    child () { return this }
  }
  for (const thrown of [new Error('who is it?'), undefined]) {
    let ran = false
    const app = Fastify()
    t.after(() => app.close())
    await app.register(rateLimit, { store: Late as any })
    await app.register(concurrency, { priority: () => { throw thrown } })
    app.get('/', async () => { ran = true })
    const { status, body } = await (await RawClient.connect(await listen(app))).get('/').reply()
    assert.equal(status, 500)
    assert.match(JSON.parse(body).message, /who is it\?|failed without a reason/)
    assert.equal(ran, false)
  }
})

test('errorResponseBuilder is thrown to the error handler, with the headers on the reply', async t => {
  const app = await limited(t, {
    max: 0,
    ban: 0,
    errorResponseBuilder: (_request, context) => Object.assign(new Error(`${context.max} per ${context.after}`), { statusCode: context.statusCode, ban: context.ban })
  }, app => {
    app.setErrorHandler((error: any, _request, reply) => reply.code(error.statusCode).send({ mine: error.message, ban: error.ban }))
    app.get('/', async () => 'ok')
  })
  const refused = await app.inject('/')
  assert.equal(refused.statusCode, 403)
  assert.deepEqual(refused.json(), { mine: '0 per 1 minute', ban: true })
  assert.equal(refused.headers['cache-control'], 'no-store')
  assert.ok(Number(refused.headers['retry-after']) >= 60)
  assert.equal(refused.headers['x-ratelimit-limit'], '0')
})

test('errorResponseBuilder may return a plain object', async t => {
  const app = await limited(t, { max: 0, errorResponseBuilder: () => ({ statusCode: 429, error: 'Slow down', message: 'please' }) })
  const refused = await app.inject('/')
  assert.equal(refused.statusCode, 429)
  assert.equal(refused.json().message, 'please')
})

test('onRefused of the suite shapes the body of a 429', async t => {
  const app = Fastify()
  t.after(() => app.close())
  setSuiteState(app, { dryRun: false, routes: {}, onRefused: (_request, _reply, refusal) => ({ reason: refusal.reason }) })
  await app.register(rateLimit, { max: 0 })
  app.get('/', async () => 'ok')
  assert.deepEqual((await app.inject('/')).json(), { reason: 'rate_limited' })
})

test('a dry run counts and logs, but refuses nothing, sends no header and calls nobody', async t => {
  const { lines, server } = logging()
  const told: any[] = []
  const listener = (message: unknown) => { told.push(message) }
  subscribe('fastify-surge:refused', listener)
  t.after(() => unsubscribe('fastify-surge:refused', listener))
  let calls = 0
  const app = await limited(t, { dryRun: true, max: 1, ban: 0, onExceeding: () => { calls++ }, onExceeded: () => { calls++ }, onBanReach: () => { calls++ }, errorResponseBuilder: () => { calls++; return new Error('no') } }, undefined, server)
  assert.deepEqual(await statuses(app, ['/', '/', '/']), [200, 200, 200])
  assert.equal((await app.inject('/')).headers['x-ratelimit-limit'], undefined)
  assert.equal(calls, 0)
  assert.deepEqual(told.map(({ reason, dryRun }) => [reason, dryRun]), Array(3).fill(['banned', true]))
  assert.equal(lines.filter(line => /would refuse/.test(line.msg)).length, 1)
})

test('a custom keyGenerator without an explicit hook is named at boot, once', async t => {
  const keyGenerator = () => 'k'
  for (const [options, config, times] of [
    [{ keyGenerator }, undefined, 1],
    [{ keyGenerator, hook: 'onRequest' }, undefined, 0],
    [{}, { keyGenerator }, 1],
    [{}, { keyGenerator, hook: 'preHandler' }, 0],
    [{ hook: 'preHandler' }, { keyGenerator }, 0]
  ] as [RateLimitOptions, any, number][]) {
    const { lines, server } = logging()
    await limited(t, options, app => { app.get('/', { config: { rateLimit: config } }, async () => 'ok') }, server)
    assert.equal(lines.filter(line => /keyGenerator of/.test(line.msg)).length, times)
  }
})

test('app.createRateLimit and app.rateLimit go on working', async t => {
  const app = await limited(t, { global: false }, app => {
    const check = app.createRateLimit({ max: 1, timeWindow: 60_000 })
    app.get('/manual', async request => {
      const verdict = await check(request)
      return verdict.isAllowed || !verdict.isExceeded ? 'ok' : 'exceeded'
    })
    app.get('/hooked', { preHandler: app.rateLimit({ max: 1, timeWindow: 60_000 }) }, async () => 'ok')
  })
  assert.equal((await app.inject('/manual')).body, 'ok')
  assert.equal((await app.inject('/manual')).body, 'exceeded')
  assert.deepEqual(await statuses(app, ['/hooked', '/hooked']), [200, 429])
})

test('app.rateLimit() counts no request twice: not the 404 handler of the official docs, not a limited route', async t => {
  const app = await limited(t, { max: 2 }, app => {
    app.setNotFoundHandler({ preHandler: app.rateLimit() }, (_request, reply) => { reply.code(404).send('no') })
    app.get('/own', { config: { rateLimit: { max: 2 } }, preHandler: app.rateLimit() }, async () => 'ok')
    app.get('/free', { config: { rateLimit: false }, preHandler: app.rateLimit() }, async () => 'ok')
  })
  assert.deepEqual(await statuses(app, ['/own', '/own', '/own', '/nope', '/nope', '/nope', '/free']), [200, 200, 429, 404, 404, 429, 429])
})

test('app.createRateLimit() reads the common counter', async t => {
  const app = await limited(t, { max: 5 }, app => {
    const peek = app.createRateLimit()
    app.get('/', async request => {
      const verdict = await peek(request, { increment: false })
      return { remaining: verdict.isAllowed ? -1 : verdict.remaining }
    })
  })
  await app.inject('/')
  assert.deepEqual((await app.inject('/')).json(), { remaining: 3 })
})

test('@fastify/rate-limit registered before is a clash', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(officialRateLimit)
  await assert.rejects(async () => { await app.register(rateLimit, {}) }, { code: 'FST_SURGE_CLASH', message: /remove the registration of @fastify\/rate-limit/ })
})

test('@fastify/rate-limit registered behind it is a clash at ready', async () => {
  const app = Fastify()
  await app.register(rateLimit, {})
  await app.register(officialRateLimit)
  await assert.rejects(async () => { await app.ready() }, { code: 'FST_SURGE_CLASH', message: /was registered after fastify-surge\/rate-limit/ })
  await app.close()
})

test('@fastify/rate-limit in a context below is a warning', async t => {
  const { lines, server } = logging()
  await limited(t, {}, app => { app.register(async child => { await child.register(officialRateLimit, { global: false }) }) }, server)
  assert.equal(lines.filter(line => /requests to that context pass both/.test(line.msg)).length, 1)
})

test('where nothing else is registered, nobody is warned', async t => {
  const { lines, server } = logging()
  await limited(t, { max: 5 }, undefined, server)
  assert.deepEqual(lines, [])
})

test('burst: so many at once, then one by one', async t => {
  const clock = holdMonotonicClock(t)
  const app = await limited(t, { max: 60, burst: 2 })
  assert.deepEqual(await statuses(app, ['/', '/', '/']), [200, 200, 429])
  clock.advance(1_000)
  assert.deepEqual(await statuses(app, ['/', '/']), [200, 429])
})

test('cost: by a number, by the request, by a promise; nonsense counts as 1', async t => {
  const costs: [cost: NonNullable<RateLimitOptions['cost']>, url: string, remaining: string][] = [
    [3, '/', '7'], [0, '/', '10'], [2.5, '/', '7'],
    [request => Number((request.query as any).n), '/?n=4', '6'],
    [async request => Number((request.query as any).n), '/?n=4', '6'],
    [request => Number((request.query as any).n), '/?n=x', '9'],
    [request => Number((request.query as any).n), '/?n=-5', '9'],
    [50, '/', '0']
  ]
  for (const [cost, url, remaining] of costs) {
    const app = await limited(t, { max: 10, cost })
    assert.equal((await app.inject(url)).headers['x-ratelimit-remaining'], remaining, `${cost} ${url}`)
  }
})

test('several policies: all of them hold, and who is refused by one is charged by none', async t => {
  const clock = holdMonotonicClock(t)
  const app = await limited(t, { timeWindow: undefined, headers: 'draft-11' }, app => {
    app.get('/', { config: { rateLimit: { policies: [{ max: 2, timeWindow: '1 s' }, { name: 'hourly', max: 3, timeWindow: '1 hour' }] } } }, async () => 'ok')
  })
  assert.deepEqual(await statuses(app, ['/', '/', '/']), [200, 200, 429])
  clock.advance(1_000)
  const third = await app.inject('/')
  assert.equal(third.headers['ratelimit-policy'], '"2/1s";q=2;w=1, "hourly";q=3;w=3600')
  assert.equal(third.headers.ratelimit, '"2/1s";r=1;t=1, "hourly";r=0;t=3599')
  const refused = await app.inject('/')
  assert.equal(refused.statusCode, 429)
  assert.ok(Number(refused.headers['retry-after']) >= 1199, refused.headers['retry-after'] as string)
})

test('problem: the body names the policy that was violated, by the types of the IETF draft', async t => {
  const app = await limited(t, { problem: true, max: 1, ban: 1 })
  await app.inject('/')
  const refused = await app.inject('/')
  assert.match(refused.headers['content-type'] as string, /^application\/problem\+json/)
  assert.deepEqual(refused.json(), {
    type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
    title: 'Quota exceeded',
    status: 429,
    detail: 'Rate limit exceeded',
    code: 'FST_SURGE_RATE_LIMITED',
    'violated-policies': ['default']
  })
  const banned = await app.inject('/')
  assert.equal(banned.statusCode, 403)
  assert.equal(banned.json().type, 'https://iana.org/assignments/http-problem-types#abnormal-usage-detected')
})

test('headers: false sends none but Retry-After', async t => {
  const app = await limited(t, { headers: false, max: 1 })
  const names = (headers: object) => Object.keys(headers).filter(name => /ratelimit|retry/.test(name))
  assert.deepEqual(names((await app.inject('/')).headers), [])
  assert.deepEqual(names((await app.inject('/')).headers), ['retry-after'])
})

test('the headers are the reply\'s own: the handler sees them, a later hook may change or remove them', async t => {
  const app = await limited(t, { max: 5 }, app => {
    app.get('/', async (_request, reply) => reply.getHeader('x-ratelimit-remaining'))
    app.addHook('onSend', async (_request, reply) => {
      reply.header('X-RateLimit-Limit', 'many')
      reply.removeHeader('x-ratelimit-reset')
    })
  })
  const { body, headers } = await app.inject('/')
  assert.equal(body, '4')
  assert.deepEqual([headers['x-ratelimit-limit'], headers['x-ratelimit-remaining'], headers['x-ratelimit-reset']], ['many', '4', undefined])
})

test('a ban holds for a window, although requests would have come back', async t => {
  const clock = holdMonotonicClock(t)
  const app = await limited(t, { max: 60, burst: 1, ban: 1 })
  assert.deepEqual(await statuses(app, ['/', '/', '/']), [200, 429, 403])
  clock.advance(59_000)
  assert.deepEqual(await statuses(app, ['/']), [403])
  clock.advance(1_000)
  assert.deepEqual(await statuses(app, ['/', '/']), [200, 429])
})

test('app.quota: a handler charges what its reply cost, by request, and by key for a group or a route', async t => {
  const app = await limited(t, { max: 10, timeWindow: '1 hour' }, app => {
    app.get('/', async request => (await app.quota.charge(request, 4))!.remaining)
    app.get('/refunded', async request => (await app.quota.refund(request))!.remaining)
    app.get('/group', { config: { rateLimit: { groupId: 'tokens', max: 5 } } }, async request => await app.quota.peek(request))
    app.get('/own', { config: { rateLimit: { max: 5 } } }, async () => 'ok')
    app.get('/free', { config: { rateLimit: false } }, async request => (await app.quota.charge(request, 1)) ?? 'not limited')
  })
  const key = '127.0.0.1'
  assert.equal((await app.inject('/')).body, '5')
  assert.equal((await app.inject('/refunded')).body, '5')
  assert.equal((await app.inject('/free')).body, 'not limited')
  const peeked = (await app.inject('/group')).json()
  assert.deepEqual({ ...peeked, policies: [{ ...peeked.policies[0], reset: 0 }] }, { key, exceeded: false, banned: false, wait: 0, remaining: 4, policies: [{ name: 'default', max: 5, timeWindow: 3_600_000, remaining: 4, reset: 0 }] })
  assert.equal((await app.quota.charge({ key, group: 'tokens' }, 100))!.exceeded, true)
  assert.deepEqual(await statuses(app, ['/group', '/own']), [429, 200])
  assert.equal((await app.quota.peek({ key, route: 'GET /own' }))!.remaining, 4)
  await app.quota.reset({ key, group: 'tokens' })
  assert.deepEqual(await statuses(app, ['/group']), [200])
  assert.equal((await app.quota.peek({ key }))!.remaining, 5)
  await assert.rejects(app.quota.charge({ key }, NaN), RangeError)
  await assert.rejects(app.quota.peek({ key, group: 'tokenz' }), { code: 'FST_SURGE_BAD_OPTION', message: /name of a limited group, got 'tokenz'/ })
  assert.equal(app.quota.stats().asked, 0)
})

test('app.quota: a target that is none is said, a charge without a number is one request, and who is not limited has no state', async t => {
  const app = await limited(t, { max: 10, timeWindow: '1 hour', allowList: ['127.0.0.2'] }, app => {
    app.get('/', async request => [await app.quota.peek(request) ?? null, await app.quota.charge(request) ?? null])
  })
  for (const [target, message] of [
    ['1.2.3.4', /Expected `target` to be a request, \{ key, group } or \{ key, route }, got '1\.2\.3\.4'/],
    [undefined, /Expected `target` .*got undefined/],
    [null, /Expected `target` .*got null/],
    [{ ky: 'x' }, /Unknown option `target\.ky`\. Did you mean `key`\?/],
    [{ group: 'x' }, /Expected `target\.key` to be a string or a number, got undefined/],
    [{ key: {} }, /Expected `target\.key` to be a string or a number, got \{}/],
    [{ key: 'x', route: 5 }, /Expected `target\.route`/]
  ] as [any, RegExp][]) {
    for (const call of ['peek', 'charge', 'refund', 'reset'] as const) await assert.rejects(app.quota[call](target), { code: 'FST_SURGE_BAD_OPTION', message }, call)
  }
  assert.equal((await app.quota.charge({ key: 7 }))!.remaining, 9)
  assert.equal((await app.quota.charge({ key: 7, group: undefined, route: undefined }))!.remaining, 8)
  const [peeked, charged] = (await app.inject('/')).json()
  assert.deepEqual([peeked.remaining, charged.remaining], [9, 8])
  assert.deepEqual((await app.inject({ url: '/', remoteAddress: '127.0.0.2' })).json(), [null, null])
})

test('app.quota: a refund without a number gives back what the request was charged, no more', async t => {
  const policies = [{ name: 'burst', max: 10, timeWindow: '1 hour' }, { name: 'sustained', max: 100, timeWindow: '1 day' }]
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, { policies, cost: request => Number(request.headers['x-cost']) })
  app.get('/', async request => { await app.quota.charge(request, 5); return await app.quota.refund(request) })
  const { policies: left } = (await app.inject({ url: '/', headers: { 'x-cost': '50' } })).json()
  assert.deepEqual(left.map(({ remaining }: { remaining: number }) => remaining), [5, 95])
  assert.deepEqual((await app.quota.refund({ key: '127.0.0.1' }))!.policies.map(({ remaining }) => remaining), [6, 96])
})

test('a quota that depends on the request cannot be asked for by key', async t => {
  const app = await limited(t, { max: () => 5 })
  await assert.rejects(app.quota.peek({ key: 'x' }), { code: 'FST_SURGE_BAD_OPTION', message: /Expected a request, got a key/ })
})

test('clients of a Unix socket, who have no address, are one', async t => {
  const app = await limited(t, { max: 1 })
  assert.deepEqual(await statuses(app, [{ url: '/', remoteAddress: undefined as any }, '/']), [200, 429])
})
