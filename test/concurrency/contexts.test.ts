// Stages of several contexts on the way of one request: those around, hooks of the app's in between, and a gate inside, or the
// other way round. Between them the request has passed one admission and not the other.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import concurrency, { type ConcurrencyOptions } from '../../plugins/concurrency/index.ts'
import deadline from '../../plugins/deadline/index.ts'
import metrics from '../../plugins/metrics/index.ts'
import { RawClient, deferred, eventually, listen } from '../support/raw-http.ts'

/** A gate in a context inside one that has stages too. */
async function serveInside (options: ConcurrencyOptions, route: (inner: FastifyInstance) => void, timeout?: number) {
  const app = Fastify({ forceCloseConnections: true })
  let inner!: FastifyInstance
  await app.register(metrics)
  if (timeout !== undefined) await app.register(deadline, { timeout })
  await app.register(async child => {
    inner = child
    await child.register(concurrency, options)
    route(child)
  })
  return { app, inner, port: await listen(app) }
}

function atRest (app: FastifyInstance): boolean {
  const { inflight, queued, orphans } = app.concurrency.stats()
  return inflight === 0 && queued === 0 && orphans === 0
}

test('a client that leaves the room of a gate inside a context with stages takes no slot', async t => {
  const gate = deferred()
  const { app, inner, port } = await serveInside({ limit: 1, maxWait: 60_000 }, child => {
    child.get('/', () => gate.promise.then(() => 'done'))
  })
  t.after(() => app.close())
  const first = (await RawClient.connect(port)).get('/')
  await eventually(() => inner.concurrency.stats().inflight === 1, 'first admitted')
  const second = (await RawClient.connect(port)).get('/')
  await eventually(() => inner.concurrency.stats().queued === 1, 'second waits')
  second.reset()
  await eventually(() => inner.concurrency.stats().gone === 1, 'second gone')
  gate.resolve()
  assert.equal((await first.reply()).status, 200)
  await eventually(() => atRest(inner), 'at rest')
  assert.equal(inner.concurrency.stats().admitted, 1)
})

test('a deadline of the context around ends a wait in the gate inside', async t => {
  const gate = deferred()
  const { app, inner, port } = await serveInside({ limit: 1, maxWait: 60_000 }, child => {
    child.get('/', () => gate.promise.then(() => 'done'))
  }, 50)
  t.after(() => app.close())
  const first = (await RawClient.connect(port)).get('/')
  await eventually(() => inner.concurrency.stats().inflight === 1, 'first admitted')
  const second = await (await RawClient.connect(port)).get('/').reply()
  assert.equal(JSON.parse(second.body).code, 'FST_SURGE_DEADLINE')
  await eventually(() => inner.concurrency.stats().queued === 0, 'second gone')
  assert.equal((await first.reply()).status, 503)
  assert.equal(inner.concurrency.stats().orphans, 1)
  gate.resolve()
  await eventually(() => atRest(inner), 'at rest')
})

test('an onShed that fails inside a context with stages is answered by the error handler', async t => {
  const { app, inner, port } = await serveInside({ limit: 1, maxQueue: 0, onShed: () => { throw new Error('no stale copy') } }, child => {
    child.get('/', () => new Promise(() => {}))
  })
  t.after(() => app.close())
  const first = (await RawClient.connect(port)).get('/')
  await eventually(() => inner.concurrency.stats().inflight === 1, 'first admitted')
  const refused = await (await RawClient.connect(port)).get('/').reply()
  assert.equal(refused.status, 500)
  assert.match(refused.body, /no stale copy/)
  first.end()
})

for (const left of ['client', 'deadline'] as const) {
  test(`a slot of the gate around comes back with the hook in front of the stages inside, when the ${left} does not wait for it`, async t => {
    const hook = deferred()
    let ran = 0
    const app = Fastify({ forceCloseConnections: true })
    t.after(() => app.close())
    await app.register(deadline, { timeout: left === 'client' ? false : 50 })
    await app.register(concurrency, { limit: 1 })
    app.addHook('onRequest', () => hook.promise)
    await app.register(async child => {
      await child.register(metrics)
      child.get('/', () => { ran++; return 'done' })
    })
    const port = await listen(app)
    const client = (await RawClient.connect(port)).get('/')
    await eventually(() => app.concurrency.stats().inflight === 1, 'admitted')
    if (left === 'client') client.reset()
    else assert.equal((await client.reply()).status, 503)
    await eventually(() => app.concurrency.stats().orphans === 1, 'its hook still runs')
    hook.resolve()
    await eventually(() => atRest(app), 'at rest')
    assert.equal(ran, 0)
  })
}
