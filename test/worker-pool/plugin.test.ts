import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { createRequire } from 'node:module'
import { test, type TestContext } from 'node:test'
import { SHARE_ENV } from 'node:worker_threads'
import Fastify, { type FastifyInstance } from 'fastify'
import deadline from '../../plugins/deadline/index.ts'
import workerPool, { type WorkerPoolOptions } from '../../plugins/worker-pool/index.ts'
import { RawClient, eventually, listen } from '../support/raw-http.ts'

const require = createRequire(import.meta.url)
const tasks = new URL('./tasks.mjs', import.meta.url)
/** The thread's own module is TypeScript here, which the threads of Node 20 load through `require` only. */
const typescript = ['--require', require.resolve('tsx/cjs')]

async function pool (t: TestContext, options: Partial<WorkerPoolOptions> = {}): Promise<FastifyInstance> {
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  await app.register(workerPool, { filename: tasks, maxThreads: 1, execArgv: typescript, closeTimeout: 1, ...options })
  return app
}

/** [0] counts tasks that run, [1] lets them end. */
function shared (): Int32Array {
  return new Int32Array(new SharedArrayBuffer(8))
}

function runs (state: Int32Array, count = 1): Promise<void> {
  return eventually(() => Atomics.load(state, 0) === count, `${count} tasks run`)
}

function release (state: Int32Array): void {
  Atomics.store(state, 1, 1)
  Atomics.notify(state, 1)
}

function code (expected: string): (error: any) => boolean {
  return error => {
    assert.equal(error.code, expected)
    return true
  }
}

test('run() calls the default export, or the one that it names', async t => {
  const app = await pool(t)
  assert.equal(await app.workerPool.run<number>(21), 42)
  assert.deepEqual(await app.workerPool.run({ a: [1] }, { name: 'echo' }), { a: [1] })
  const { completed, failed, inflight, threads } = app.workerPool.stats()
  assert.deepEqual({ completed, failed, inflight, threads }, { completed: 2, failed: 0, inflight: 0, threads: 1 })
})

test('`name` of the options is the export that run() calls by default', async t => {
  const app = await pool(t, { name: 'echo' })
  assert.equal(await app.workerPool.run('as it was'), 'as it was')
})

test('modules may be CommonJS, or TypeScript where threads have a loader for it', async t => {
  const common = await pool(t, { filename: require.resolve('./tasks.cjs') })
  assert.equal(await common.workerPool.run(1), 2)
  assert.equal(await common.workerPool.run(2, { name: 'triple' }), 6)
  const typed = await pool(t, { filename: new URL('./typed-tasks.ts', import.meta.url) })
  assert.equal(await typed.workerPool.run(3), 9)
})

test('transferList moves parts of the payload instead of copying them', async t => {
  const app = await pool(t)
  const buffer = new ArrayBuffer(8)
  const back = await app.workerPool.run<{ buffer: ArrayBuffer }>({ buffer }, { name: 'echo', transferList: [buffer] })
  assert.equal(buffer.byteLength, 0)
  assert.equal(back.buffer.byteLength, 8)
})

test('the event loop goes on while a task computes', async t => {
  const app = await pool(t)
  app.get('/', async () => 'alive')
  const port = await listen(app)
  const state = shared()
  const held = app.workerPool.run(state, { name: 'hold' })
  await runs(state)
  assert.equal((await (await RawClient.connect(port)).get('/').reply()).body, 'alive')
  assert.equal(app.workerPool.stats().inflight, 1)
  release(state)
  assert.equal(await held, 'held')
})

test('the queue is bounded, unlike piscina\'s own: past it run() rejects with 503', async t => {
  const app = await pool(t, { maxQueue: 1, maxWait: 60_000 })
  const state = shared()
  const held = app.workerPool.run(state, { name: 'hold' })
  const waiting = app.workerPool.run(1)
  await assert.rejects(app.workerPool.run(2), { code: 'FST_SURGE_QUEUE_FULL', statusCode: 503 })
  assert.equal(app.workerPool.stats().queued, 1)
  assert.equal(app.workerPool.stats().shed.queue_full, 1)
  await runs(state)
  release(state)
  assert.equal(await held, 'held')
  assert.equal(await waiting, 2)
})

test('a task waits maxWait at most', async t => {
  const app = await pool(t, { maxWait: 20 })
  const state = shared()
  const held = app.workerPool.run(state, { name: 'hold' })
  await assert.rejects(app.workerPool.run(1), { code: 'FST_SURGE_QUEUE_TIMEOUT', statusCode: 503 })
  await runs(state)
  release(state)
  await held
})

test('a task of a higher priority takes the place of a lower one', async t => {
  const app = await pool(t, { maxQueue: 1, maxWait: 60_000 })
  const state = shared()
  const held = app.workerPool.run(state, { name: 'hold' })
  const evicted = assert.rejects(app.workerPool.run(1, { priority: 2 }), code('FST_SURGE_EVICTED'))
  const critical = app.workerPool.run(2, { priority: 0 })
  await evicted
  await runs(state)
  release(state)
  await held
  assert.equal(await critical, 4)
})

test('as many tasks run as there may be threads', async t => {
  const app = await pool(t, { maxThreads: 2, maxWait: 60_000 })
  const state = shared()
  const all = Promise.all([1, 2, 3].map(() => app.workerPool.run(state, { name: 'hold' })))
  await runs(state, 2)
  const { threads, limit, inflight, queued } = app.workerPool.stats()
  assert.deepEqual({ threads, limit, inflight, queued }, { threads: 2, limit: 2, inflight: 2, queued: 1 })
  release(state)
  assert.deepEqual(await all, ['held', 'held', 'held'])
})

test('an abort takes a task that waits out of the queue', async t => {
  const app = await pool(t, { maxWait: 60_000 })
  const state = shared()
  const held = app.workerPool.run(state, { name: 'hold' })
  const client = new AbortController()
  const waiting = app.workerPool.run(1, { signal: client.signal })
  assert.equal(app.workerPool.stats().queued, 1)
  const reason = new Error('client left')
  client.abort(reason)
  await assert.rejects(waiting, error => error === reason)
  assert.equal(app.workerPool.stats().queued, 0)
  assert.equal(app.workerPool.stats().gone, 1)
  await runs(state)
  release(state)
  assert.equal(await held, 'held')
})

test('an abort ends a task that computes, and the next one gets a new thread', async t => {
  const app = await pool(t)
  const state = shared()
  const client = new AbortController()
  const spinning = app.workerPool.run(state, { name: 'spin', signal: client.signal })
  await runs(state)
  const reason = new Error('client left')
  client.abort(reason)
  await assert.rejects(spinning, error => error === reason)
  assert.equal(await app.workerPool.run(2), 4)
  const { cancelled, crashed, failed } = app.workerPool.stats()
  assert.deepEqual({ cancelled, crashed, failed }, { cancelled: 1, crashed: 0, failed: 0 })
})

test('aborts of tasks in native code do not start threads past maxThreads: the slot is taken until the thread has ended', async t => {
  const app = await pool(t, { maxWait: 60_000 })
  const state = shared()
  const client = new AbortController()
  const hashing = app.workerPool.run(state, { name: 'hash', signal: client.signal })
  await runs(state)
  client.abort()
  await assert.rejects(hashing, { name: 'AbortError' })
  assert.equal(app.workerPool.stats().inflight, 1)
  assert.equal(app.workerPool.stats().cancelled, 0)
  const next = app.workerPool.run(1)
  assert.equal(app.workerPool.stats().queued, 1)
  assert.equal(await next, 2)
  assert.equal(app.workerPool.stats().cancelled, 1)
})

test('a signal that is aborted already starts nothing', async t => {
  const app = await pool(t)
  await assert.rejects(app.workerPool.run(1, { signal: AbortSignal.abort() }), { name: 'AbortError' })
  assert.equal(app.workerPool.stats().completed, 0)
})

test('a signal that serves many tasks keeps no listener', async t => {
  const app = await pool(t)
  const { signal } = new AbortController()
  await Promise.all([app.workerPool.run(1, { signal }), app.workerPool.run(2, { signal })])
  await assert.rejects(app.workerPool.run(1, { name: 'fail', signal }))
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('a client that leaves cancels its task', async t => {
  const app = await pool(t)
  const state = shared()
  app.post('/', async (_request, reply) => {
    const client = new AbortController()
    reply.raw.once('close', () => client.abort(new Error('client left')))
    return app.workerPool.run(state, { name: 'spin', signal: client.signal })
  })
  const client = (await RawClient.connect(await listen(app))).post('/', '{}')
  await runs(state)
  client.reset()
  await eventually(() => app.workerPool.stats().cancelled === 1, 'cancelled')
  assert.equal(app.workerPool.stats().inflight, 0)
})

test('with request.deadline.signal a client that leaves, or a deadline that is over, cancels the task', async t => {
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  await app.register(deadline)
  await app.register(workerPool, { filename: tasks, maxThreads: 1, execArgv: typescript })
  const state = shared()
  app.post('/', request => app.workerPool.run(state, { name: 'spin', signal: request.deadline.signal }))
  app.get('/', { config: { deadline: 30 } }, request => app.workerPool.run(state, { name: 'spin', signal: request.deadline.signal }))
  const port = await listen(app)
  const client = (await RawClient.connect(port)).post('/', '{}')
  await runs(state)
  client.reset()
  await eventually(() => app.workerPool.stats().cancelled === 1, 'cancelled')
  const reply = await (await RawClient.connect(port)).get('/').reply()
  assert.equal(JSON.parse(reply.body).code, 'FST_SURGE_DEADLINE')
  await eventually(() => app.workerPool.stats().inflight === 0, 'its slot is free')
})

test('an error of a task keeps its stack, name, code and status (piscina#1143)', async t => {
  const app = await pool(t)
  app.get('/', () => app.workerPool.run(7, { name: 'fail' }))
  await assert.rejects(app.workerPool.run(7, { name: 'fail' }), (error: any) => {
    assert.ok(error instanceof RangeError)
    assert.equal(error.name, 'RangeCheck')
    assert.equal(error.message, 'out of range: 7')
    assert.equal((error as any).code, 'E_RANGE_CHECK')
    assert.match(error.stack!, /at fail \(.*test\/worker-pool\/tasks\.mjs:\d+:\d+\)/)
    return true
  })
  const reply = await (await RawClient.connect(await listen(app))).get('/').reply()
  assert.equal(reply.status, 422)
  assert.equal(JSON.parse(reply.body).code, 'E_RANGE_CHECK')
  const { failed, crashed, threads } = app.workerPool.stats()
  assert.deepEqual({ failed, crashed, threads }, { failed: 2, crashed: 0, threads: 1 })
})

for (const [name, payload, cause] of [
  ['leave', 0, /exited with code:? 0/],
  ['leave', 3, /exited with code:? 3/],
  ['uncaught', undefined, /nobody catches this/],
  ['uncaughtText', undefined, /just a string/],
  ['eatMemory', undefined, /memory limit/]
] as const) {
  test(`a thread that dies of ${name}(${payload ?? ''}) rejects its task, is counted and replaced (piscina#304)`, async t => {
    const app = await pool(t, { resourceLimits: { maxOldGenerationSizeMb: 32 } })
    await assert.rejects(app.workerPool.run(payload, { name }), (error: any) => {
      assert.equal(error.code, 'FST_SURGE_WORKER_CRASHED')
      assert.equal(error.statusCode, 500)
      assert.match(error.cause.message, cause)
      return true
    })
    assert.equal(await app.workerPool.run(4), 8)
    const { crashed, failed, cancelled, inflight } = app.workerPool.stats()
    assert.deepEqual({ crashed, failed, cancelled, inflight }, { crashed: 1, failed: 0, cancelled: 0, inflight: 0 })
  })
}

test('a crash is logged', async t => {
  const lines: any[] = []
  const app = Fastify({ logger: { level: 'error', stream: { write: line => lines.push(JSON.parse(line)) } } })
  t.after(() => app.close())
  await app.register(workerPool, { filename: tasks, execArgv: typescript })
  await assert.rejects(app.workerPool.run(3, { name: 'leave' }))
  assert.deepEqual(lines.map(({ msg, err }) => [msg, err.message]), [['a worker thread crashed', 'The thread exited with code 3']])
})

test('a payload that cannot be cloned fails alone, a result that cannot be cloned costs its thread', async t => {
  const app = await pool(t)
  await assert.rejects(app.workerPool.run(() => {}), { name: 'DataCloneError' })
  assert.equal(app.workerPool.stats().crashed, 0)
  await assert.rejects(app.workerPool.run(1, { name: 'sendsFunction' }), code('FST_SURGE_WORKER_CRASHED'))
  assert.equal(app.workerPool.stats().crashed, 1)
  assert.equal(await app.workerPool.run(1), 2)
})

for (const how of ['exit', 'throw']) {
  test(`a task whose thread fails to start (${how}) is rejected: piscina leaves it waiting for ever`, async t => {
    t.after(() => { delete process.env.SURGE_TEST_THREADS })
    const app = await pool(t, {
      minThreads: 0,
      idleTimeout: 1,
      env: SHARE_ENV,
      execArgv: ['--require', require.resolve('./fails-to-start.cjs'), ...typescript]
    })
    await eventually(() => app.workerPool.stats().threads === 0, 'the thread of the check ended idle')
    process.env.SURGE_TEST_THREADS = how
    await assert.rejects(app.workerPool.run(1), code('FST_SURGE_WORKER_CRASHED'))
    delete process.env.SURGE_TEST_THREADS
    assert.equal(await app.workerPool.run(1), 2)
    assert.equal(app.workerPool.stats().crashed, 1)
  })
}

for (const [options, message] of [
  [{ filename: new URL('./missing.mjs', import.meta.url) }, /`workerPool.filename` .*missing\.mjs.*Cannot find module/],
  [{ filename: new URL('./throws-when-loaded.mjs', import.meta.url) }, /`workerPool.filename` .*broken module/],
  [{ name: 'ecko' }, /`name` .* got 'ecko'\. Did you mean 'echo'\?/]
] as const) {
  test(`a module that cannot serve fails at boot: ${message.source}`, async t => {
    const app = Fastify()
    t.after(() => app.close())
    await assert.rejects(async () => app.register(workerPool, { filename: tasks, execArgv: typescript, ...options }), { code: 'FST_SURGE_BAD_OPTION', message })
  })
}

test('an export that does not exist is named with the nearest one', async t => {
  const app = await pool(t)
  await assert.rejects(app.workerPool.run(1, { name: 'eco' }), { code: 'FST_SURGE_BAD_OPTION', message: /Did you mean 'echo'\?/ })
  assert.equal(app.workerPool.stats().crashed, 0)
})

test('what every object inherits is no export', async t => {
  for (const filename of [tasks, require.resolve('./tasks.cjs'), new URL('./no-default.mjs', import.meta.url)]) {
    const app = await pool(t, { filename, name: String(filename).endsWith('no-default.mjs') ? 'named' : 'default' })
    for (const name of ['constructor', 'toString', 'hasOwnProperty', '__proto__', 'call', 'nothing']) {
      await assert.rejects(app.workerPool.run('return 1', { name }), { code: 'FST_SURGE_BAD_OPTION', message: /to be an exported function of .*(Exported: |Did you mean )/ }, name)
    }
    assert.equal(app.workerPool.stats().crashed, 0)
  }
})

test('what a module inherits of its own is an export', async t => {
  const app = await pool(t, { filename: require.resolve('./inherited.cjs'), name: 'double' })
  assert.equal(await app.workerPool.run(4), 8)
  await assert.rejects(app.workerPool.run(4, { name: 'constructor' }), { code: 'FST_SURGE_BAD_OPTION' })
})

test('close() lets a task end', async t => {
  const app = await pool(t, { closeTimeout: 60_000 })
  await app.ready()
  const state = shared()
  const held = app.workerPool.run(state, { name: 'hold' })
  const waiting = app.workerPool.run(5)
  await runs(state)
  const closed = app.close()
  await eventually(() => app.workerPool.stats().state === 'DRAINING', 'draining')
  await assert.rejects(app.workerPool.run(1), { code: 'FST_SURGE_DRAINING', statusCode: 503 })
  release(state)
  assert.equal(await held, 'held')
  assert.equal(await waiting, 10)
  await closed
  assert.equal(app.workerPool.stats().threads, 0)
})

test('close() ends what does not end by closeTimeout, waiters too, and leaves no thread behind', async t => {
  function ports (): number {
    return process.getActiveResourcesInfo().filter(resource => resource === 'MessagePort' || resource === 'Worker').length
  }
  const before = ports()
  const app = await pool(t, { closeTimeout: 20, maxThreads: 2, maxWait: 60_000 })
  await app.ready()
  const state = shared()
  const tasks = [1, 2, 3].map(() => assert.rejects(app.workerPool.run(state, { name: 'spin' }), code('FST_SURGE_DRAINING')))
  await runs(state, 2)
  assert.ok(ports() > before)
  await app.close()
  await Promise.all(tasks)
  assert.equal(app.workerPool.stats().threads, 0)
  assert.equal(app.workerPool.stats().state, 'CLOSED')
  assert.equal(ports(), before)
  await assert.rejects(app.workerPool.run(1), code('FST_SURGE_DRAINING'))
})

test('each context may have a pool of its own; one below another is refused', async t => {
  const app = Fastify()
  t.after(() => app.close())
  const seen: unknown[] = []
  for (const name of ['echo', 'default']) {
    app.register(async child => {
      await child.register(workerPool, { filename: tasks, name, execArgv: typescript })
      seen.push(await child.workerPool.run(2))
    })
  }
  await app.ready()
  assert.deepEqual(seen, [2, 4])
  const twice = Fastify()
  t.after(() => twice.close())
  await twice.register(workerPool, { filename: tasks, execArgv: typescript })
  await assert.rejects(async () => twice.register(workerPool, { filename: tasks, execArgv: typescript }), code('FST_SURGE_DUPLICATE'))
})

test('options of a task that are none are said, and cost no thread', async t => {
  const app = await pool(t)
  for (const [options, says] of [
    [{ nam: 'echo' }, /Unknown option `task\.nam`.*Did you mean `name`/],
    [{ priority: 3 }, /`task\.priority` to be .*got 3/],
    [{ signal: {} }, /`task\.signal` to be an AbortSignal/],
    [{ transferList: 'all' }, /`task\.transferList` to be a list of what is moved, got 'all'/]
  ] as const) await assert.rejects(app.workerPool.run(1, options as any), { code: 'FST_SURGE_BAD_OPTION', message: says })
  assert.equal(app.workerPool.stats().completed, 0)
})
