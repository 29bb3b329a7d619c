import assert from 'node:assert/strict'
import type http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import Fastify, { type FastifyServerOptions } from 'fastify'
import serverDefaults, { serverOptions, type ServerDefaultsOptions } from '../../plugins/server-defaults/index.ts'
import { listenersOf } from '../../plugins/shared/fastify-internals.ts'
import { RawClient, listen } from '../support/raw-http.ts'
import { localhostHasTwoAddresses } from '../support/two-addresses.ts'

async function boot (server: FastifyServerOptions | undefined, options: ServerDefaultsOptions = {}) {
  const warnings: string[] = []
  const logger = { level: 'warn', stream: { write: (line: string) => { warnings.push(JSON.parse(line).msg) } } }
  const app = Fastify({ ...server, logger } as FastifyServerOptions)
  await app.register(serverDefaults, options)
  return { app, warnings: warnings.filter(warning => !warning.startsWith('Node ')) }
}

function checkInterval (server: http.Server): number {
  return (server as any).connectionsCheckingInterval
}

test('serverOptions() adds the defaults where nobody set them', () => {
  assert.deepEqual(serverOptions(), {
    requestTimeout: 0,
    keepAliveTimeout: 72_000,
    return503OnClosing: false,
    http: { headersTimeout: 20_000, connectionsCheckingInterval: 5_000 }
  })
})

test('serverOptions() overwrites nothing that the user set', () => {
  const merged: any = serverOptions({ logger: true, keepAliveTimeout: 1_000, return503OnClosing: true, http: { headersTimeout: 5_000, maxHeaderSize: 4096 } })
  assert.equal(merged.logger, true)
  assert.equal(merged.keepAliveTimeout, 1_000)
  assert.equal(merged.return503OnClosing, true)
  assert.deepEqual(merged.http, { headersTimeout: 5_000, connectionsCheckingInterval: 5_000, maxHeaderSize: 4096 })
})

test('serverOptions() puts node:http options inside https where that is set, and limits the streams of HTTP/2', () => {
  const https: any = serverOptions({ https: { headersTimeout: 7_000 } as object })
  assert.deepEqual(https.https, { headersTimeout: 7_000, connectionsCheckingInterval: 5_000 })
  assert.equal(https.http, undefined)
  const http2: any = serverOptions({ http2: true })
  assert.deepEqual(http2.http, { settings: { maxConcurrentStreams: 100 } })
  const secure: any = serverOptions({ http2: true, https: { settings: { maxConcurrentStreams: 7 } } as object })
  assert.deepEqual([secure.https, secure.http], [{ settings: { maxConcurrentStreams: 7 } }, undefined])
})

test('a header limit above the request limit is impossible, a default one gives way', () => {
  assert.throws(() => serverOptions({ requestTimeout: 10_000, http: { headersTimeout: 20_000 } }), { code: 'FST_SURGE_BAD_OPTION', message: /headersTimeout.*requestTimeout/ })
  assert.equal((serverOptions({ requestTimeout: 10_000 }) as any).http.headersTimeout, 10_000)
})

test('a server made without serverOptions() gets its settings from the plugin', async t => {
  const { app, warnings } = await boot(undefined)
  t.after(() => app.close())
  assert.equal(app.server.headersTimeout, 20_000)
  assert.equal(app.server.keepAliveTimeout, 72_000)
  assert.equal(app.server.requestTimeout, 0)
  assert.equal(checkInterval(app.server), 5_000)
  assert.match(warnings.join(), /serverOptions/)
})

test('what the plugin is given is applied, what the user gave the server stays and warns', async t => {
  const { app, warnings } = await boot(serverOptions({ keepAliveTimeout: 9_000 }), { keepAliveTimeout: 30_000, headersTimeout: 3_000, maxConnections: 50, maxRequestsPerSocket: 10, checkInterval: 100 })
  t.after(() => app.close())
  assert.equal(app.server.keepAliveTimeout, 9_000)
  assert.equal(app.server.headersTimeout, 3_000)
  assert.equal(app.server.maxConnections, 50)
  assert.equal(app.server.maxRequestsPerSocket, 10)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0]!, /keepAliveTimeout.*9000.*30000/)
})

test('secondary listeners of localhost get every setting', async t => {
  localhostHasTwoAddresses(t)
  const { app } = await boot(undefined, { headersTimeout: 3_000, maxConnections: 50, checkInterval: 100 })
  t.after(() => app.close())
  await app.listen({ port: 0, host: 'localhost' })
  const listeners = listenersOf(app)
  assert.equal(listeners.length, 2)
  for (const listener of listeners) {
    assert.equal((listener.address() as AddressInfo).port, (app.server.address() as AddressInfo).port)
    assert.deepEqual([listener.headersTimeout, listener.keepAliveTimeout, listener.maxConnections, checkInterval(listener)], [3_000, 72_000, 50, 100])
  }
})

test('a slow header is answered 408 and closed within the limit and one check', async t => {
  const app = Fastify(serverOptions({ http: { headersTimeout: 100, connectionsCheckingInterval: 50 } }))
  t.after(() => app.close())
  await app.register(serverDefaults)
  app.get('/', async () => 'ok')
  const port = await listen(app)
  const slow = (await RawClient.connect(port)).send('GET / HTTP/1.1\r\nHost: t\r\nX-Slow: ')
  await slow.until(received => received.includes('408'))
  await slow.closed
  assert.equal((await (await RawClient.connect(port)).get('/').reply()).status, 200)
})

test('unsafe settings warn at boot', async () => {
  const cases: Array<[FastifyServerOptions, ServerDefaultsOptions, RegExp]> = [
    [serverOptions({ trustProxy: true }), {}, /trustProxy: true/],
    [serverOptions({ trustProxy: 1 as any }), {}, /CVE-2026-16732/],
    [serverOptions(), { lbIdleTimeout: 72_000 }, /502/],
    [serverOptions({ keepAliveTimeout: 5_001 }), { lbIdleTimeout: 60_000 }, /5001.*60000/]
  ]
  for (const [server, options, expected] of cases) {
    const { app, warnings } = await boot(server, options)
    assert.equal(warnings.length, 1)
    assert.match(warnings[0]!, expected)
    await app.close()
  }
  const { app, warnings } = await boot(serverOptions({ trustProxy: '127.0.0.1' }), { lbIdleTimeout: 60_000 })
  assert.deepEqual(warnings, [])
  await app.close()
})

test('bad options fail at boot', async () => {
  await assert.rejects(boot(undefined, { keepAliveTimout: 1 } as any), { message: /Did you mean `keepAliveTimeout`/ })
  await assert.rejects(boot(undefined, { headersTimeout: -1 }), { code: 'FST_SURGE_BAD_OPTION', message: /milliseconds, an integer from 1/ })
  await assert.rejects(boot(undefined, { headersTimeout: 20_000, requestTimeout: 5_000 }), { message: /headersTimeout/ })
})

test('a header that may take longer than its request is an error wherever the two were set, and lowered where nobody asked for it', async t => {
  for (const [server, options] of [
    [{ requestTimeout: 5_000 }, { headersTimeout: 6_000 }],
    [{ requestTimeout: 5_000, http: { headersTimeout: 6_000 } }, {}],
    [{ http: { headersTimeout: 30_000 } }, { requestTimeout: 10_000 }]
  ] as const) {
    await assert.rejects(boot(server as FastifyServerOptions, options), { code: 'FST_SURGE_BAD_OPTION', message: /`headersTimeout` to be at most `requestTimeout`/ })
  }
  const { app } = await boot({ requestTimeout: 5_000 }, {})
  t.after(() => app.close())
  assert.equal(app.server.headersTimeout, 5_000)
})

test('one server has one set of defaults: the same again is shared, another is an error that names both', async () => {
  const app = Fastify(serverOptions())
  app.register(async child => { await child.register(serverDefaults, { maxConnections: 10 }) })
  app.register(async child => { await child.register(serverDefaults, { maxConnections: 10 }) })
  await app.ready()
  const other = Fastify(serverOptions())
  other.register(async child => { await child.register(serverDefaults, { maxConnections: 10 }) })
  other.register(async child => { await child.register(serverDefaults, { maxConnections: 20 }) })
  await assert.rejects(async () => { await other.ready() }, { code: 'FST_SURGE_DUPLICATE', message: /10.*20/ })
})
