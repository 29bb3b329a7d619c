// Two servers behind a real HAProxy with the configuration that is shipped, one of which is stopped under load: by SIGTERM
// no client notices, by SIGKILL those alone whose requests it had.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { without } from '../support/service.ts'
import { CLIENTS, Load } from './clients.ts'
import { startHaproxy } from './haproxy.ts'

const skip = without('haproxy', 'haproxy')

interface Counts { accepted: number, answered: number, connections: number }
interface Backend { child: ChildProcess, port: number, counts: Promise<Counts> }

async function startBackend (t: TestContext): Promise<Backend> {
  // Down after 2 checks of 100 ms, and a second.
  const child = spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, '../lifecycle/drained-child.ts')], { env: { ...process.env, DRAIN_DELAY: '1200' }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => { child.kill('SIGKILL') })
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  const { value } = await lines.next()
  return { child, port: JSON.parse(value).port, counts: lines.next().then(({ value }) => value && JSON.parse(value)) }
}

/** `retries` as shipped, or none, so that nothing is hidden by asking twice. */
async function startBalancer (t: TestContext, backends: Backend[], retries: boolean): Promise<number> {
  const shipped = readFileSync(join(import.meta.dirname, '../../deploy/haproxy/haproxy.cfg'), 'utf8')
  const text = shipped.replace('inter 1s', 'inter 100ms').replace('retries 2', retries ? 'retries 2' : 'retries 0')
  assert.notEqual(text, shipped)
  const [one, two] = backends.map(backend => `127.0.0.1:${backend.port}`)
  return await startHaproxy(t, text, { SERVER_ONE: one!, SERVER_TWO: two! })
}

test('SIGTERM of one of two servers under load: no client sees a failed request', { skip }, async t => {
  const backends = [await startBackend(t), await startBackend(t)]
  const load = new Load(await startBalancer(t, backends, false))
  await load.more(500)
  const [leaving, staying] = backends
  const left = once(leaving!.child, 'exit')
  leaving!.child.kill('SIGTERM')
  assert.deepEqual(await left, [0, null])
  await load.more(500)
  await load.stop()
  assert.deepEqual(load.failures, [])
  staying!.child.kill('SIGTERM')
  const counts = await Promise.all(backends.map(backend => backend.counts))
  for (const { accepted, answered, connections } of counts) {
    assert.equal(answered, accepted)
    // Each check is a connection of its own.
    assert.ok(accepted > 200 && connections < accepted / 2, `${accepted} requests over ${connections} connections: they are not kept`)
  }
})

test('a server that crashes under load takes no more than the requests that it had, and the other one serves on', { skip }, async t => {
  const backends = [await startBackend(t), await startBackend(t)]
  const load = new Load(await startBalancer(t, backends, true))
  await load.more(300)
  backends[0]!.child.kill('SIGKILL')
  await load.more(500)
  assert.ok(load.failures.length <= CLIENTS, `${load.failures.length} failures: ${load.failures[0]}`)
  const before = load.failures.length
  await load.more(300)
  assert.equal(load.failures.length, before)
  await load.stop()
})
