import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import surge, { compression, concurrency, deadline, jsonStream, lifecycle, metrics, problemJson, profiling, serverOptions, type SurgeOptions } from '../plugins/index.ts'
import { RawClient, deferred, eventually, listen } from './support/raw-http.ts'

interface Line { level: number, msg: string, [key: string]: unknown }

async function boot (t: TestContext, options: SurgeOptions, before: (app: FastifyInstance) => void = () => {}): Promise<{ app: FastifyInstance, lines: Line[] }> {
  const lines: Line[] = []
  const app = Fastify(serverOptions({ logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } }))
  t.after(() => app.close())
  before(app)
  await app.register(surge, options)
  return { app, lines }
}

function warnings (lines: Line[]): string[] {
  return lines.filter(({ level, msg }) => level === 40 && !msg.startsWith('Node ')).map(({ msg }) => msg)
}

test('one register call, and everything that is on by default is there', async t => {
  const { app, lines } = await boot(t, {})
  app.get('/', async request => ({ left: request.deadline.remaining() > 0 }))
  const reply = await app.inject('/')
  assert.equal(reply.statusCode, 200)
  assert.ok(reply.headers.etag)
  assert.equal(app.concurrency.stats().admitted, 1)
  assert.equal(app.isUnderPressure(), false)
  assert.equal(app.lifecycle.ready, true)
  assert.equal((await app.inject('/readyz')).statusCode, 200)
  assert.equal(reply.headers['x-ratelimit-limit'], undefined, 'a quota is off unless given')
  assert.deepEqual(warnings(lines), [])
})

test('each plugin has a switch', async t => {
  const { app } = await boot(t, { serverDefaults: false, lifecycle: false, pressure: false, deadline: false, concurrency: false, compression: false, jsonStream: false })
  app.get('/', async () => 'plain')
  const reply = await app.inject('/')
  assert.deepEqual(Object.keys(reply.headers).sort(), ['connection', 'content-length', 'content-type', 'date'])
  assert.equal((await app.inject('/livez')).statusCode, 404)
  for (const decorator of ['concurrency', 'lifecycle', 'isUnderPressure']) assert.equal(app.hasDecorator(decorator), false, decorator)
})

test('bad options fail at boot and say what to write', async () => {
  const cases: Array<[unknown, RegExp]> = [
    [{ concurency: {} }, /Unknown option `surge\.concurency`\. Did you mean `concurrency`\? Got \{\}\./],
    [{ concurrency: { limit: 0 } }, /`concurrency\.limit` to be an integer ≥ 1, or { min, max }, got 0/],
    [{ concurrency: null }, /`surge\.concurrency` to be true, false or an object, got null/],
    [{ rateLimit: 5 }, /`surge\.rateLimit`.*got 5/],
    [{ routes: { graphql: {} } }, /'\/url' or 'METHOD \/url', got 'graphql'/],
    [{ routes: { 'FETCH /x': {} } }, /METHOD/],
    [{ routes: { '/x': { concurency: 'a' } } }, /Did you mean `concurrency`/],
    [{ routes: { '/x': { lifecycle: false } } }, /not set route by route/],
    [{ onRefused: 'json' }, /a function, got 'json'/]
  ]
  for (const [options, message] of cases) {
    await assert.rejects(async () => { await Fastify().register(surge, options as SurgeOptions) }, { code: 'FST_SURGE_BAD_OPTION', message })
  }
})

test('a bad route config fails at boot, whichever plugin it is for', async t => {
  const { app } = await boot(t, { rateLimit: { max: 5 } })
  const declare = (config: object) => () => app.get('/bad', { config }, async () => 1)
  for (const [config, message] of [
    [{ concurrency: { limt: 3 } }, /limt.*Did you mean `limit`/],
    [{ deadline: '1s' }, /config\.deadline/],
    [{ rateLimit: { maxx: 3 } }, /Did you mean `max`/],
    [{ compression: { treshold: 3 } }, /Did you mean `threshold`/],
    [{ jsonStream: { pth: 'a' } }, /Did you mean `path`/],
    [{ pressure: 'off' }, /config\.pressure/]
  ] as Array<[object, RegExp]>) {
    assert.throws(declare(config), { code: 'FST_SURGE_BAD_OPTION', message })
  }
})

test('a key of config that is nearly ours is worth a warning, a strange one is not', async t => {
  const { app, lines } = await boot(t, {})
  app.get('/', { config: { concurency: 'reports', openapi: true, compress: 1 } as object }, async () => 1)
  await app.ready()
  assert.equal(warnings(lines).length, 1)
  assert.match(warnings(lines)[0]!, /config\.concurency of GET \/.*Did you mean `concurrency`/)
})

test('where rate-limit is off, config.rateLimit is somebody else\'s', async t => {
  const { app } = await boot(t, {})
  app.get('/', { config: { rateLimit: { anything: 'goes' } as any } }, async () => 'ok')
  assert.equal((await app.inject('/')).statusCode, 200)
})

test('an official plugin that is there already fails the boot with a sentence, not a crash', async () => {
  for (const [name, key] of [['@fastify/compress', 'compression'], ['@fastify/etag', 'compression'], ['@fastify/rate-limit', 'rateLimit'], ['@fastify/under-pressure', 'pressure']] as const) {
    const official = await import(name)
    const app = Fastify()
    await app.register(official.default)
    const on = { rateLimit: { max: 5 } }
    await assert.rejects(async () => { await app.register(surge, on) }, { code: 'FST_SURGE_CLASH', message: new RegExp(`${name} is already registered.*${key}: false`) })
    const switched = Fastify()
    await switched.register(official.default)
    await switched.register(surge, { ...on, [key]: false })
    await switched.ready()
    await switched.close()
    await app.close()
  }
})

test('a request decorator that is taken is named', async () => {
  const app = Fastify()
  app.decorateRequest('deadline', null as any)
  await assert.rejects(async () => { await app.register(surge) }, { code: 'FST_SURGE_CLASH', message: /request\.deadline/ })
})

test('a second registration below is refused, beside it is not; server-wide parts are shared', async () => {
  const app = Fastify(serverOptions())
  await app.register(surge)
  await assert.rejects(async () => { await app.register(async child => { await child.register(surge) }) }, { code: 'FST_SURGE_DUPLICATE' })
  const siblings = Fastify(serverOptions())
  siblings.register(async child => {
    await child.register(surge, { lifecycle: false, concurrency: { limit: 1 } })
    child.get('/a', async () => child.concurrency.stats().limit)
  })
  siblings.register(async child => {
    await child.register(surge, { lifecycle: false, concurrency: { limit: 2 } })
    child.get('/b', async () => child.concurrency.stats().limit)
  })
  assert.deepEqual([(await siblings.inject('/a')).body, (await siblings.inject('/b')).body], ['1', '2'])
  await siblings.close()
})

test('routes declared earlier are admitted, and one warning lists them', async t => {
  const { app, lines } = await boot(t, {}, app => {
    app.get('/early', async () => 'ok')
    app.get('/early/:id', async () => 'ok')
  })
  assert.equal((await app.inject('/early')).statusCode, 200)
  assert.equal(app.concurrency.stats().admitted, 1)
  const [warning, ...more] = warnings(lines)
  assert.match(warning!, /GET \/early, GET \/early\/:id.*await app\.register\(surge\)/s)
  assert.deepEqual(more, [])
})

test('a plugin alone warns of routes declared earlier where they go without it, and never of its own', async t => {
  for (const [name, plugin, expected] of [
    ['compression', compression, [/^1 route was declared before fastify-surge loaded and gets admission at most, no compression, no ETag: GET \/early\./]],
    ['json-stream', jsonStream, [/gets admission at most, no jsonStream: GET \/early\./]],
    ['deadline', deadline, []], ['concurrency', concurrency, []], ['lifecycle', lifecycle, []], ['metrics', metrics, []], ['profiling', profiling, []]
  ] as const) {
    const lines: Line[] = []
    const app = Fastify(serverOptions({ logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } }))
    t.after(() => app.close())
    app.get('/early', async () => 'ok')
    await app.register(plugin as any)
    await app.ready()
    assert.equal(warnings(lines).length, expected.length, name)
    for (const [at, warning] of expected.entries()) assert.match(warnings(lines)[at]!, warning)
  }
})

test('an override says nothing of routes that there are not', async t => {
  const { app, lines } = await boot(t, { rateLimit: { max: 5 }, routes: { '/a': { rateLimit: { max: 3, hook: 'preHandler' } }, '/b': { rateLimit: { max: 3, hook: 'preHandler' } } } })
  app.post('/a', async () => 'ok')
  await app.ready()
  assert.deepEqual(warnings(lines), ['routes["/b"] of fastify-surge matches no declared route'])
})

test('a register() that nobody awaited still admits the routes declared behind it', async () => {
  const app = Fastify()
  app.register(surge)
  app.get('/', async () => 'ok')
  assert.equal((await app.inject('/')).statusCode, 200)
  assert.equal(app.concurrency.stats().admitted, 1)
  await app.close()
})

test('a bad config of a route declared earlier costs its clients nothing, and is logged as an error', async t => {
  const { app, lines } = await boot(t, {}, app => { app.get('/early', { config: { concurrency: 'nowhere' } as any }, async () => 'ok') })
  assert.equal((await app.inject('/early')).statusCode, 200)
  assert.equal((await app.inject('/early')).statusCode, 200)
  assert.equal(lines.filter(({ level }) => level === 50).length, 1)
})

test('an override that cannot be used fails at boot, also of a route that nobody has declared', async () => {
  for (const [routes, message] of [
    [{ '/x': { deadline: 'junk' } }, /`config\.deadline of GET \/x` .*got 'junk'/],
    [{ 'POST /x': { concurrency: 'nowhere' } }, /`config\.concurrency of POST \/x` .*got 'nowhere'/],
    [{ '/x': { rateLimit: { mx: 3 } } }, /Did you mean `max`/]
  ] as const) {
    const app = Fastify()
    await app.register(surge, { rateLimit: true, routes: routes as any })
    await assert.rejects(async () => { await app.ready() }, { code: 'FST_SURGE_BAD_OPTION', message })
  }
})

test('a name that is taken is an error that says so', async () => {
  const app = Fastify()
  app.decorate('surge', {} as any)
  await assert.rejects(async () => { await app.register(surge) }, { code: 'FST_SURGE_CLASH', message: /app\.surge/ })
})

test('routes overrides what another plugin declares, by url and by method', async t => {
  const { app, lines } = await boot(t, {
    concurrency: { groups: { graphql: { limit: 7 } } },
    routes: { '/graphql': { concurrency: 'graphql' }, 'POST /both': { concurrency: false }, '/nowhere': { deadline: 5 } }
  })
  app.register(async child => {
    child.post('/graphql', async () => 'ok')
    child.post('/both', async () => 'ok')
    child.get('/both', async () => 'ok')
  })
  await app.inject({ method: 'POST', url: '/graphql' })
  await app.inject({ method: 'POST', url: '/both' })
  await app.inject('/both')
  assert.equal(app.concurrency.stats('graphql').admitted, 1)
  assert.equal(app.concurrency.stats().admitted, 1)
  assert.match(warnings(lines).join(), /routes\["\/nowhere"\].*matches no declared route/)
})

test('onRefused shapes the body of every refusal, problemJson is ready-made', async t => {
  const gate = deferred()
  const { app } = await boot(t, { onRefused: problemJson, concurrency: { limit: 1, maxQueue: 0 }, rateLimit: { max: 3, timeWindow: '1 minute' } })
  app.get('/', async () => { await gate.promise; return 'ok' })
  const port = await listen(app)
  const holder = (await RawClient.connect(port)).get('/')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const client = await RawClient.connect(port)
  const full = await client.get('/').reply()
  assert.deepEqual([full.status, full.headers['content-type'], JSON.parse(full.body).code], [503, 'application/problem+json; charset=utf-8', 'FST_SURGE_QUEUE_FULL'])
  await client.get('/').reply()
  const limited = await client.get('/').reply()
  assert.deepEqual([limited.status, JSON.parse(limited.body).status, JSON.parse(limited.body).code], [429, 429, 'FST_SURGE_RATE_LIMITED'])
  assert.match(limited.headers['retry-after']!, /^\d+$/)
  gate.resolve()
  await holder.reply()
})

test('the order holds: a client over its quota takes nobody\'s place in the gate', async t => {
  const { app } = await boot(t, { concurrency: { limit: 5 }, rateLimit: { max: 1, timeWindow: '1 minute' } })
  app.get('/', async () => 'ok')
  await app.inject('/')
  const refused = await app.inject('/')
  assert.equal(refused.statusCode, 429)
  assert.equal(app.concurrency.stats().admitted, 1)
})

test('a dry run refuses nothing, whoever would, and says so in the log', async t => {
  const gate = deferred()
  const { app, lines } = await boot(t, { dryRun: true, concurrency: { limit: 1, maxQueue: 0 }, rateLimit: { max: 1, timeWindow: '1 minute' }, deadline: { timeout: 20 }, pressure: { maxHeapUsedBytes: 1, sampleInterval: 20 } })
  app.get('/', async () => { await gate.promise; return 'ok' })
  const port = await listen(app)
  await eventually(() => app.isUnderPressure(), 'a first sample')
  const clients = await Promise.all([1, 2, 3].map(async () => (await RawClient.connect(port)).get('/')))
  await eventually(() => new Set(lines.filter(({ msg }) => msg.startsWith('would refuse')).map(({ by }) => by)).size === 4, 'all four said what they would do')
  gate.resolve()
  for (const client of clients) assert.equal((await client.reply()).status, 200)
})

test('probes are spared by every plugin', async t => {
  const { app } = await boot(t, { concurrency: { limit: 1, maxQueue: 0 }, rateLimit: { max: 0, timeWindow: '1 minute' }, pressure: { maxHeapUsedBytes: 1, sampleInterval: 20 } })
  app.get('/', () => new Promise(() => {}))
  const port = await listen(app)
  await eventually(() => app.isUnderPressure(), 'a first sample')
  for (const path of ['/livez', '/readyz']) {
    const reply = await (await RawClient.connect(port)).get(path).reply()
    assert.equal(reply.status, 200, path)
  }
  assert.equal((await (await RawClient.connect(port)).get('/').reply()).status, 503)
  // One story: the gate's counters have what pressure kept from it.
  assert.deepEqual([app.concurrency.stats().shed.pressure, app.concurrency.stats().admitted], [1, 0])
})

test('prefix and logLevel, which Fastify passes to every plugin, pass', async () => {
  const app = Fastify()
  await app.register(surge, { prefix: '/x', logLevel: 'warn' } as SurgeOptions)
  await app.ready()
  await app.close()
})

test('100 apps that come and go leave no listener and no timer behind', async () => {
  const before = process.getActiveResourcesInfo().length
  const listeners = process.listenerCount('warning')
  for (let i = 0; i < 100; i++) {
    const app = Fastify(serverOptions())
    await app.register(surge, { rateLimit: { max: 5 } })
    await app.listen({ port: 0, host: '127.0.0.1' })
    await app.close()
  }
  await eventually(() => process.getActiveResourcesInfo().length <= before, `${process.getActiveResourcesInfo()}`)
  assert.equal(process.listenerCount('warning'), listeners)
})
