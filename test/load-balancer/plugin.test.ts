import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import http from 'node:http'
import http2 from 'node:http2'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import concurrency from '../../plugins/concurrency/index.ts'
import surge from '../../plugins/index.ts'
import lifecycle from '../../plugins/lifecycle/index.ts'
import loadBalancer, { type LoadBalancerOptions } from '../../plugins/load-balancer/index.ts'
import { serverOptions } from '../../plugins/server-defaults/index.ts'
import { deferred, eventually, listen, RawClient } from '../support/raw-http.ts'

const LOAD = 'endpoint-load-metrics'
const DRAIN = 'x-envoy-immediate-health-check-fail'
const AGENT = { port: 0, host: '127.0.0.1' }

async function make (t: TestContext, options: LoadBalancerOptions, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app = Fastify(serverOptions(server)) as FastifyInstance
  t.after(() => app.close())
  await app.register(loadBalancer, options)
  return app
}

/** What the agent says to one who asks. */
async function ask (app: FastifyInstance, sends = ''): Promise<string> {
  const socket = net.connect(app.loadBalancer.port!, '127.0.0.1')
  socket.write(sends)
  let line = ''
  for await (const data of socket) line += data
  return line
}

test('what cannot be used fails at boot, with key, value and what was expected', async () => {
  for (const [options, message] of [
    [{ agentCheck: true }, /`loadBalancer\.agentCheck` to be \{ port, host \}, or false, got true/],
    [{ agentCheck: {} }, /`loadBalancer\.agentCheck\.port` to be an integer from 0 to 65535, got undefined/],
    [{ agentCheck: { port: 70_000 } }, /`loadBalancer\.agentCheck\.port` to be an integer from 0 to 65535, got 70000/],
    [{ agentChek: { port: 1 } }, /Unknown option `loadBalancer\.agentChek`\. Did you mean `agentCheck`\?/],
    [{ orca: 'yes' }, /`loadBalancer\.orca` to be true or false, got 'yes'/],
    [{ lbCount: 0 }, /`loadBalancer\.lbCount` to be an integer ≥ 1, got 0/]
  ] as const) {
    await assert.rejects(async () => { await Fastify().register(loadBalancer, options as any) }, { code: 'FST_SURGE_BAD_OPTION', message })
  }
})

test('the umbrella has it off, and on when given', async t => {
  for (const [given, there] of [[undefined, false], [false, false], [true, true], [{ lbCount: 2 }, true]] as const) {
    const app = Fastify(serverOptions())
    t.after(() => app.close())
    await app.register(surge, given === undefined ? {} : { loadBalancer: given })
    assert.equal(app.hasDecorator('loadBalancer'), there)
  }
})

test('the agent: down until the app listens, up with weight and maxconn, drain as soon as it drains, nobody behind close()', async t => {
  const app = await make(t, { agentCheck: AGENT, lbCount: 2 })
  await app.register(lifecycle)
  await app.register(concurrency, { limit: 11, groups: { reports: { limit: 4 } } })
  await app.ready()
  assert.equal(await ask(app), 'down\n')
  await listen(app)
  assert.match(await ask(app), /^ready up \d+% maxconn:7\n$/)
  app.concurrency.tune(31)
  assert.match(await ask(app), / maxconn:17\n$/)
  app.concurrency.tune({ min: 1 })
  assert.match(await ask(app), / maxconn:0\n$/)
  await app.lifecycle.drain()
  assert.equal(await ask(app), 'drain\n')
  const { port } = app.loadBalancer
  await app.close()
  const socket = net.connect(port!, '127.0.0.1')
  assert.equal(((await once(socket, 'error')) as any)[0].code, 'ECONNREFUSED')
})

test('without lifecycle it drains from close() on, and the agent answers until the last reply is out', async t => {
  const app = await make(t, { agentCheck: AGENT })
  const gate = deferred()
  app.get('/', async () => { await gate.promise; return 'done' })
  const client = (await RawClient.connect(await listen(app))).get('/')
  await once(app.server, 'request')
  const closed = app.close()
  await eventually(() => !app.server.listening, 'it stops listening')
  assert.equal(await ask(app), 'drain\n')
  gate.resolve()
  assert.equal((await client.reply()).body, 'done')
  client.end()
  await closed
})

test('the agent answers whoever sends something first, and a client that stays does not hold up close()', async t => {
  const app = await make(t, { agentCheck: AGENT })
  await listen(app)
  assert.match(await ask(app, 'web1\n'), /^ready up/)
  assert.match(await ask(app, 'x'.repeat(100_000)), /^ready up/)
  const staying = net.connect({ port: app.loadBalancer.port!, host: '127.0.0.1', allowHalfOpen: true })
  await once(staying, 'data')
  await app.close()
  staying.on('error', () => {}).destroy()
})

test('a port that is taken fails the start', async t => {
  const app = await make(t, { agentCheck: AGENT })
  await app.ready()
  const other = await make(t, { agentCheck: { port: app.loadBalancer.port!, host: '127.0.0.1' } })
  await assert.rejects(async () => { await other.ready() }, { code: 'EADDRINUSE' })
})

test('the weight follows the load, that of gates in contexts too', async t => {
  const app = await make(t, { agentCheck: AGENT })
  const gate = deferred()
  await app.register(async context => {
    await context.register(concurrency, { limit: 1 })
    context.get('/', async () => { await gate.promise; return 'done' })
  })
  const client = (await RawClient.connect(await listen(app))).get('/')
  await eventually(() => app.loadBalancer.utilization > 0.8, 'busy')
  assert.match(await ask(app), /^ready up [56]\d% maxconn:1\n$/)
  gate.resolve()
  await client.reply()
})

test('gates that keep nobody out bound no balancer: in a dry run, and while they are switched off', async t => {
  const dry = Fastify(serverOptions())
  t.after(() => dry.close())
  await dry.register(surge, { dryRun: true, concurrency: { limit: 2 }, loadBalancer: { agentCheck: AGENT } })
  await listen(dry)
  assert.match(await ask(dry), /^ready up \d+%\n$/)

  const app = Fastify(serverOptions())
  t.after(() => app.close())
  await app.register(surge, { concurrency: { limit: 2 }, loadBalancer: { agentCheck: AGENT } })
  await listen(app)
  for (const [on, maxconn] of [[true, 2], [false, 0], [true, 2]] as const) {
    app.surge.switch('concurrency', on)
    assert.match(await ask(app), new RegExp(` maxconn:${maxconn}\n$`))
  }
})

test('gates and lifecycle count wherever they are, before it and in contexts below; a decorator of the app\'s own is none', async t => {
  const app = Fastify(serverOptions())
  t.after(() => app.close())
  await app.register(async context => {
    await context.register(concurrency, { limit: 3 })
    await context.register(lifecycle)
  })
  await app.register(async context => { context.decorate('concurrency', 8 as any) })
  await app.register(loadBalancer, { agentCheck: AGENT })
  await app.register(async context => { await context.register(concurrency, { limit: 4 }) })
  let drain!: () => Promise<void>
  await app.register(async context => {
    await context.register(lifecycle)
    drain = () => context.lifecycle.drain()
  })
  await listen(app)
  await eventually(() => app.loadBalancer.utilization > 0, 'it has looked')
  assert.match(await ask(app), / maxconn:7\n$/)
  await drain()
  assert.equal(await ask(app), 'drain\n')
})

test('a Unix socket has a peer without an address, trusted as Fastify trusts it', async t => {
  for (const [trustProxy, told] of [[true, true], [() => true, true], ['127.0.0.1', false]] as const) {
    const app = await make(t, { orca: true }, { trustProxy: trustProxy as any })
    app.get('/', async () => 'ok')
    const path = join(await mkdtemp(join(tmpdir(), 'surge-')), 'socket')
    await app.listen({ path })
    const [reply] = await once(http.get({ socketPath: path, path: '/', agent: false }), 'response') as [http.IncomingMessage]
    reply.resume()
    assert.equal(LOAD in reply.headers, told)
  }
})

test('close() while the app is getting ready leaves no listener', async t => {
  const app = await make(t, { agentCheck: AGENT })
  await app.register(lifecycle, { port: AGENT })
  await Promise.allSettled([app.ready(), app.close()])
  await new Promise(setImmediate)
  assert.deepEqual([app.loadBalancer.port, app.lifecycle.port], [undefined, undefined])
})

test('the load goes to trusted peers alone, as Fastify has them', async t => {
  const cases: Array<[trustProxy: FastifyServerOptions['trustProxy'] | undefined, told: boolean]> = [
    [undefined, false], [false, false], ['10.0.0.0/8', false], [3 as any, false], [() => false, false],
    [true, true], ['127.0.0.1', true], ['10.0.0.0/8, loopback', true], [['10.0.0.0/8', '127.0.0.1'], true], [address => address === '127.0.0.1', true]
  ]
  for (const [trustProxy, told] of cases) {
    const app = await make(t, { orca: true }, trustProxy === undefined ? {} : { trustProxy })
    app.get('/', async () => 'ok')
    const client = await RawClient.connect(await listen(app))
    for (let i = 0; i < 2; i++) {
      const { headers } = await client.get('/', 'X-Forwarded-For: 10.0.0.1\r\n').reply()
      assert.equal(LOAD in headers, told, String(trustProxy))
      if (told) assert.match(headers[LOAD]!, /^JSON \{"application_utilization":[\d.]+,"rps_fractional":[\d.]+,"eps":[\d.]+\}$/)
    }
    client.end()
  }
})

test('what nobody can be told is worth a warning', async t => {
  for (const [options, trustProxy, warned] of [
    [{ orca: true }, undefined, true], [{ orca: true }, 2 as any, true], [{ orca: true }, '', true], [{ orca: true }, '127.0.0.1', false],
    [{}, undefined, true], [{}, '127.0.0.1', false], [{ agentCheck: AGENT }, undefined, false]
  ] as const) {
    const lines: string[] = []
    const server = { logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } }, ...(trustProxy !== undefined && { trustProxy }) }
    await make(t, options, server)
    assert.equal(lines.some(line => line.includes('`trustProxy`')), warned)
  }
})

test('every reply tells it: refusals, errors, 404s, HEAD, raw writers, those of a context; probes do not, and the app\'s own stays', async t => {
  const app = Fastify(serverOptions({ trustProxy: '127.0.0.1' }))
  t.after(() => app.close())
  await app.register(surge, { loadBalancer: { orca: true }, concurrency: { groups: { shut: { limit: 1, maxQueue: 0 } } } })
  app.get('/', async () => 'ok')
  app.get('/fails', async () => { throw new Error('on purpose') })
  app.get('/raw', (_request, reply) => { reply.hijack(); reply.raw.writeHead(200, { 'content-length': 2 }).end('ok') })
  app.get('/bare', (_request, reply) => { reply.hijack(); reply.raw.end('ok') })
  app.get('/own', async (_request, reply) => reply.header('Endpoint-Load-Metrics', 'TEXT cpu_utilization=0.1').send('ok'))
  app.get('/own-raw', (_request, reply) => { reply.hijack(); reply.raw.setHeader('Endpoint-Load-Metrics', 'TEXT cpu_utilization=0.1').end('ok') })
  await app.register(async context => { context.get('/inner', async () => 'ok') })
  const gate = deferred()
  app.get('/shut', { config: { concurrency: 'shut' } }, async () => { await gate.promise; return 'ok' })
  const port = await listen(app)
  const holder = (await RawClient.connect(port)).get('/shut')
  await eventually(() => app.concurrency.stats('shut').inflight === 1, 'the gate is full')
  const client = await RawClient.connect(port)
  for (const [path, status] of [['/', 200], ['/fails', 500], ['/raw', 200], ['/bare', 200], ['/nowhere', 404], ['/inner', 200], ['/shut', 503]] as const) {
    const reply = await client.get(path).reply()
    assert.equal(reply.status, status)
    assert.match(reply.headers[LOAD] ?? 'none', /^JSON /, path)
  }
  assert.match((await app.inject({ method: 'HEAD', url: '/' })).headers[LOAD] as string, /^JSON /)
  for (const path of ['/livez', '/readyz', '/metrics']) assert.equal(LOAD in (await client.get(path).reply()).headers, false, path)
  for (const path of ['/own', '/own-raw']) assert.equal((await client.get(path).reply()).headers[LOAD], 'TEXT cpu_utilization=0.1')
  gate.resolve()
  await holder.reply()
})

test('replies and failures a second are in the report, refusals among them, probes not', async t => {
  const app = Fastify(serverOptions({ trustProxy: '127.0.0.1' }))
  t.after(() => app.close())
  await app.register(surge, { loadBalancer: { orca: true } })
  app.get('/', async () => 'ok')
  app.get('/fails', async (_request, reply) => reply.code(503).send('no'))
  const client = await RawClient.connect(await listen(app))
  const report = async (path: string): Promise<{ rps: number, eps: number }> => {
    const { headers } = await client.get(path).reply()
    const { rps_fractional: rps, eps } = JSON.parse(headers[LOAD]!.slice('JSON '.length))
    return { rps, eps }
  }
  for (let i = 0; i < 300; i++) await client.get('/livez').reply()
  assert.deepEqual(await report('/'), { rps: 0, eps: 0 })
  let told = { rps: 0, eps: 0 }
  for (let i = 0; i < 5_000 && told.eps === 0; i++) told = await report('/fails')
  assert.ok(told.eps > 0 && told.rps >= told.eps, JSON.stringify(told))
})

test('HTTP/2 has both headers', async t => {
  const app = Fastify(serverOptions({ http2: true, trustProxy: '127.0.0.1' } as any)) as unknown as FastifyInstance
  await app.register(loadBalancer, { orca: true })
  await app.register(lifecycle)
  app.get('/', async () => 'ok')
  const session = http2.connect(`http://127.0.0.1:${await listen(app)}`)
  t.after(() => {
    session.destroy()
    return app.close()
  })
  async function headersOf (path: string): Promise<http2.IncomingHttpHeaders> {
    const stream = session.request({ ':path': path })
    const [headers] = await once(stream, 'response')
    stream.resume()
    return headers as http2.IncomingHttpHeaders
  }
  assert.match((await headersOf('/'))[LOAD] as string, /^JSON /)
  await app.lifecycle.drain()
  const headers = await headersOf('/')
  assert.equal(headers[DRAIN], 'true')
  assert.match(headers[LOAD] as string, /^JSON /)
})

test('a server that drains tells Envoy so with each reply and each probe, trusted peers alone', async t => {
  for (const trusted of [true, false]) {
    const app = await make(t, {}, { trustProxy: trusted ? '127.0.0.1' : '10.0.0.1' })
    await app.register(lifecycle)
    app.get('/', async () => 'ok')
    const client = await RawClient.connect(await listen(app))
    for (const path of ['/', '/readyz']) assert.equal(DRAIN in (await client.get(path).reply()).headers, false)
    await app.lifecycle.drain()
    for (const [path, status] of [['/', 200], ['/readyz', 503]] as const) {
      const reply = await (await RawClient.connect(await listening(app))).get(path).reply()
      assert.deepEqual([reply.status, reply.headers[DRAIN], LOAD in reply.headers], [status, trusted ? 'true' : undefined, false])
    }
    client.end()
  }
})

async function listening (app: FastifyInstance): Promise<number> {
  return (app.server.address() as net.AddressInfo).port
}

test('probes on a listener of their own tell of the drain as well', async t => {
  const app = await make(t, {}, { trustProxy: '127.0.0.1' })
  await app.register(lifecycle, { port: AGENT })
  await listen(app)
  const readyz = async () => (await RawClient.connect(app.lifecycle.port!)).get('/readyz').reply()
  assert.equal(DRAIN in (await readyz()).headers, false)
  await app.lifecycle.drain()
  const reply = await readyz()
  assert.deepEqual([reply.status, reply.headers[DRAIN]], [503, 'true'])
})

test('it exists once a server: beside is the same, with other options an error', async t => {
  const app = Fastify(serverOptions())
  t.after(() => app.close())
  await app.register(async context => { await context.register(loadBalancer, { lbCount: 2 }) })
  await app.register(async context => { await context.register(loadBalancer, { lbCount: 2 }) })
  await assert.rejects(async () => {
    await app.register(async context => { await context.register(loadBalancer, { lbCount: 3 }) })
  }, { code: 'FST_SURGE_DUPLICATE' })
})
