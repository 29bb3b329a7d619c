// Two servers behind a real nginx with the configuration that is shipped: a refusal is asked of the other one, bans nobody, and
// is the client's when both refuse. The time that nginx notes is the one that the metrics read.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import surge, { serverOptions } from '../../plugins/index.ts'
import { temporaryDir } from '../support/temporary-dir.ts'
import { counted } from '../support/counted.ts'
import { deferred, eventually, listen } from '../support/raw-http.ts'
import { without } from '../support/service.ts'
import { unusedPort } from '../../cli/unused-port.ts'

const skip = without('nginx', 'nginx-light')

interface Backend { app: FastifyInstance, port: number, hold: () => Promise<() => void>, refused: () => number, served: () => number }

/** One request at a time and no queue. */
async function startBackend (t: TestContext): Promise<Backend> {
  const app = Fastify(serverOptions())
  t.after(() => app.close())
  await app.register(surge, { concurrency: { limit: 1, maxQueue: 0 }, metrics: { startHeader: 'x-request-start' } })
  let served = 0
  let held: Promise<void> | undefined
  app.get('/', async () => { served++; return 'ok' })
  app.post('/', async () => 'ok')
  app.get('/held', async () => await held)
  const port = await listen(app)
  return {
    app,
    port,
    async hold () {
      const { promise, resolve } = deferred()
      held = promise
      const reply = fetch(`http://127.0.0.1:${port}/held`)
      await eventually(() => app.concurrency.stats().inflight === 1, 'held')
      return () => { resolve(); reply.catch(() => {}) }
    },
    refused: () => app.concurrency.stats().shed.queue_full!,
    served: () => served
  }
}

async function startBalancer (t: TestContext, one: Backend, two: Backend): Promise<string> {
  const dir = await temporaryDir(t)
  const port = await unusedPort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${dir}/${name};`).join(' ')
  const text = readFileSync(join(import.meta.dirname, '../../deploy/nginx/nginx.conf'), 'utf8')
    .replace('127.0.0.1:8080', `127.0.0.1:${port}`).replace('127.0.0.1:3001', `127.0.0.1:${one.port}`).replace('127.0.0.1:3002', `127.0.0.1:${two.port}`)
    .replace('http {', `http { access_log off; ${temporary}`)
  await writeFile(join(dir, 'nginx.conf'), text)
  const balancer = spawn('nginx', ['-p', dir, '-c', 'nginx.conf', '-g', `daemon off; pid ${dir}/pid; error_log ${dir}/error.log;`], { stdio: ['ignore', 'ignore', 'inherit'] })
  t.after(async () => {
    balancer.kill('SIGTERM')
    if (balancer.exitCode === null) await once(balancer, 'exit')
  })
  const url = `http://127.0.0.1:${port}/`
  while (await fetch(url).then(({ status }) => status !== 200, () => true)) {
    assert.equal(balancer.exitCode, null, 'nginx has ended')
    await sleep(20)
  }
  return url
}

test('what one server refuses the other one serves, and the one is asked again each time', { skip }, async t => {
  const [one, two] = [await startBackend(t), await startBackend(t)]
  const url = await startBalancer(t, one, two)
  const release = await one.hold()
  const before = one.served()
  for (let i = 0; i < 20; i++) assert.equal((await fetch(url)).status, 200)
  assert.ok(one.refused() >= 5, `asked ${one.refused()} times: it was taken for dead`)
  assert.equal(one.served(), before)
  release()
  await eventually(() => one.app.concurrency.stats().inflight === 0, 'released')
  for (let i = 0; i < 10; i++) assert.equal((await fetch(url)).status, 200)
  assert.ok(one.served() > before, 'it serves again at once')
})

test('when both refuse, the client hears of it from one of two tries; a POST is tried once', { skip }, async t => {
  const [one, two] = [await startBackend(t), await startBackend(t)]
  const url = await startBalancer(t, one, two)
  const releases = [await one.hold(), await two.hold()]
  const reply = await fetch(url)
  assert.equal(reply.status, 503)
  assert.ok(Number(reply.headers.get('retry-after')) >= 1)
  assert.deepEqual([one.refused(), two.refused()], [1, 1])
  assert.equal((await fetch(url, { method: 'POST' })).status, 503)
  assert.equal(one.refused() + two.refused(), 3)
  for (const release of releases) release()
})

test('the metrics read when nginx took a request, whatever its client says', { skip }, async t => {
  const [one, two] = [await startBackend(t), await startBackend(t)]
  const url = await startBalancer(t, one, two)
  const name = 'fastify.request.start_delay source=header'
  const before = [one, two].reduce((sum, { app }) => sum + (counted(app, 'fastify.request.start_delay')[name] ?? 0), 0)
  assert.ok(before > 0)
  assert.equal((await fetch(url, { headers: { 'x-request-start': 'nonsense' } })).status, 200)
  assert.equal([one, two].reduce((sum, { app }) => sum + (counted(app, 'fastify.request.start_delay')[name] ?? 0), 0), before + 1)
})
