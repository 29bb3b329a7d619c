// Who waits for nothing but a timer of ours gets its answer: no socket keeps a process alive under inject() or in a job, and one
// that ends in the middle of a wait has lost what was waited for. Each case runs in a process of its own, which has nothing else.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What a module says that has `app`, with a handler at /hangs that never settles and one at /slow that a test ends by `free()`. */
async function says (register: string, code: string): Promise<string> {
  const module = `
    import Fastify from 'fastify'
    import surge, { concurrency, deadline, lifecycle, rateLimit, jsonStream } from ${JSON.stringify(new URL('../plugins/index.ts', import.meta.url).href)}
    const app = Fastify()
    ${register}
    app.get('/hangs', () => new Promise(() => {}))
    const codeOf = async promise => { const reply = await promise; return reply.statusCode + ' ' + (reply.json().code ?? '') }
    ${code}
  `
  const { stdout } = await run(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', module])
  return stdout.trim()
}

const cases: Record<string, [register: string, code: string, said: string]> = {
  'an injected request hears of its deadline': [
    'await app.register(deadline, { timeout: 30 })',
    "console.log(await codeOf(app.inject('/hangs')))",
    '503 FST_SURGE_DEADLINE'
  ],
  'an injected request hears that its wait is over': [
    'await app.register(concurrency, { limit: 1, maxWait: 30 })',
    "app.inject('/hangs').then(); console.log(await codeOf(app.inject('/hangs')))",
    '503 FST_SURGE_QUEUE_TIMEOUT'
  ],
  'an injected request gets its token': [
    "await app.register(concurrency, { rate: { perSecond: 50, burst: 1 } }); app.get('/', async () => ({}))",
    "console.log(await codeOf(app.inject('/')), await codeOf(app.inject('/')))",
    '200  200'
  ],
  'a job gets its token': [
    'await app.register(concurrency, { rate: { perSecond: 50, burst: 1 } })',
    "await app.ready(); for (const job of ['one', 'two']) await app.concurrency.run(() => console.log(job))",
    'one\ntwo'
  ],
  'a gate is at rest when its orphans are timed out': [
    'await app.register(concurrency, { limit: 1, orphanTimeout: 30 })',
    "const stop = new AbortController(); app.inject({ url: '/hangs', signal: stop.signal }).catch(() => {}); await new Promise(setImmediate); stop.abort(); await new Promise(setImmediate); await app.concurrency.drain(); console.log(app.concurrency.stats().orphans, app.concurrency.stats().orphansTimedOut)",
    '0 1'
  ],
  'a store that never answers is given up': [
    "await app.register(rateLimit, { max: 1, timeWindow: 1000, storeTimeout: 30, onStoreError: 'closed', store: class { incr () {} child () { return this } } })",
    "console.log(await codeOf(app.inject('/hangs')))",
    '503 FST_SURGE_QUOTA_UNAVAILABLE'
  ],
  'drain() resolves before the server listens': [
    'await app.register(lifecycle, { drainDelay: 30 })',
    "await app.ready(); await app.lifecycle.drain(); console.log('drained')",
    'drained'
  ],
  'an injected body that falls silent is given up': [
    "await app.register(jsonStream, { idleTimeout: 30 }); app.post('/', { config: { jsonStream: true } }, async request => { for await (const row of request.jsonStream()) console.log(row) })",
    "const { PassThrough } = await import('node:stream'); const body = new PassThrough(); body.write('[1,'); console.log(await codeOf(app.inject({ method: 'POST', url: '/', payload: body, headers: { 'content-type': 'application/json' } })))",
    '1\n408 FST_SURGE_JSON_IDLE'
  ],
  'an injected body that stays silent behind its reply ends no process': [
    "let raw; await app.register(jsonStream, { idleTimeout: 30 }); app.post('/', { config: { jsonStream: true } }, async request => { raw = request.raw; for await (const row of request.jsonStream()) console.log(row) })",
    "const { PassThrough } = await import('node:stream'); const body = new PassThrough(); body.write('[1,'); await app.inject({ method: 'POST', url: '/', payload: body, headers: { 'content-type': 'application/json' } }); const alive = setInterval(() => {}, 1000); if (!raw.closed) await new Promise(resolve => raw.once('close', resolve)); clearInterval(alive); console.log('closed')",
    '1\nclosed'
  ]
}

for (const [name, [register, code, said]] of Object.entries(cases)) {
  test(name, async () => {
    assert.equal(await says(register, code), said)
  })
}

test('what is over keeps no process alive', async () => {
  const started = performance.now()
  assert.equal(await says(
    "await app.register(surge, { deadline: { timeout: 60_000 }, concurrency: { limit: 1, maxWait: 60_000 } }); let free; app.get('/slow', () => new Promise(resolve => { free = resolve }))",
    "const slow = app.inject('/slow'); await new Promise(setImmediate); const behind = app.inject('/livez'); const waits = app.concurrency.run(() => 'ran'); free({}); await slow; console.log(await waits, (await behind).statusCode)"
  ), 'ran 200')
  // Not a figure: a minute is what either timer would have taken.
  assert.ok(performance.now() - started < 30_000)
})

test('a connection that lingers behind a refusal is waited for, and the hooks behind close() run', async () => {
  assert.equal(await says(
    "await app.register(surge); app.addHook('onClose', async () => console.log('closed'))",
    "await app.listen({ port: 0, host: '127.0.0.1' }); const { default: net } = await import('node:net'); const client = net.connect(app.server.address().port, '127.0.0.1'); client.write('GET / HTTP/1.1\\r\\nHost: a\\r\\nHost: b\\r\\n\\r\\n'); client.once('data', async reply => { console.log(String(reply).split('\\r\\n')[0]); client.unref(); await app.close() })"
  ), 'HTTP/1.1 400 Bad Request\nclosed')
})
