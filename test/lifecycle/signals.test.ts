// A signal that ends a server under load, in a process of its own, counted on both sides.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { RawClient } from '../support/raw-http.ts'

const SKIP = process.platform === 'win32' && 'has no SIGTERM'

interface Server { child: ChildProcess, port: number, counts: Promise<{ accepted: number, answered: number }> }

async function start (t: TestContext, env: Record<string, string>): Promise<Server> {
  const child = spawn(process.execPath, ['--import', 'tsx', fileURLToPath(new URL('drained-child.ts', import.meta.url))], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => { child.kill('SIGKILL') })
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  const { value } = await lines.next()
  return { child, port: JSON.parse(value).port, counts: lines.next().then(({ value }) => value && JSON.parse(value)) }
}

/** Asks over and over, with kept-alive connections, until the server is gone. */
async function load (port: number, clients: number): Promise<{ whole: number, refused: number, gone: () => Promise<void> }> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: clients })
  const counts = { whole: 0, refused: 0 }
  function ask (body?: string): Promise<boolean> {
    return new Promise(resolve => {
      const request = http.request({ port, host: '127.0.0.1', agent, method: body === undefined ? 'GET' : 'POST', headers: { 'content-type': 'application/json' } }, reply => {
        let text = ''
        reply.on('data', data => { text += data }).on('error', () => {}).on('close', () => {
          if (reply.complete && reply.statusCode === 200 && (text === 'whole' || text === body)) counts.whole++
          else counts.refused++
          resolve(true)
        })
      })
      // Nobody accepted it, or took it on: the other side's count tells.
      request.on('error', () => resolve(false))
      request.end(body)
    })
  }
  const done = Promise.all(Array.from({ length: clients }, async (_, i) => {
    for (;;) if (!await ask(i % 2 === 0 ? undefined : `{"client":${i}}`)) return
  }))
  return Object.assign(counts, { gone: async () => { await done; agent.destroy() } })
}

for (const drainDelay of [0, 500]) {
  test(`SIGTERM under load loses no request that was accepted, with a drainDelay of ${drainDelay} ms`, { skip: SKIP }, async t => {
    const { child, port, counts } = await start(t, { DRAIN_DELAY: String(drainDelay) })
    const exited = once(child, 'exit')
    const loaded = await load(port, 50)
    while (loaded.whole < 300) await new Promise(resolve => setTimeout(resolve, 10))
    child.kill('SIGTERM')
    const { accepted, answered } = await counts
    await loaded.gone()
    assert.deepEqual([answered, loaded.whole, loaded.refused], [accepted, accepted, 0])
    assert.deepEqual(await exited, [0, null])
  })
}

test('a second signal does not wait', { skip: SKIP }, async t => {
  const { child, port } = await start(t, { DRAIN_DELAY: '0' })
  const exited = once(child, 'exit')
  const client = (await RawClient.connect(port)).send('POST / HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n')
  await new Promise(resolve => setTimeout(resolve, 50))
  child.kill('SIGTERM')
  await new Promise(resolve => setTimeout(resolve, 100))
  assert.equal(child.exitCode, null)
  child.kill('SIGTERM')
  assert.deepEqual(await exited, [1, null])
  await client.closed
})
