import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { Failure } from '../../cli/failure.ts'
import { run, type Load } from '../../cli/run.ts'

const SLOW = `DELAY=1 "${process.execPath}" "${join(import.meta.dirname, 'slow-server.mjs')}"`
const load: Load = { target: { path: '/' }, rate: 100, duration: 300, warmUp: 100, timeout: 10_000, port: 0, metrics: '/metrics' }

test('a run has figures of what was due behind its warm-up', async () => {
  const { requests, failed, timedOut, refused, good, rss } = await run(SLOW, load, {}, 1)
  assert.ok(requests > 15 && requests < 50, `${requests}`)
  assert.deepEqual([failed, timedOut, refused, rss], [0, 0, 0, NaN])
  assert.ok(good > 50)
})

test('a rate that the generator cannot offer fails, and so does one of which nothing is due', async () => {
  const fails = (given: Partial<Load>, message: RegExp): Promise<void> => assert.rejects(() => run(SLOW, { ...load, ...given }, {}, 1), (err: unknown) => err instanceof Failure && message.test(err.message))
  await fails({ rate: 300_000, timeout: 100 }, /went out in time, at the last of 3 tries: this machine cannot offer that many beside the server\. Lower --rate\.$/)
  await fails({ rate: 0.001 }, /^At 0\.001 a second, no request was due within 300 ms\. Raise --duration\.$/)
})

test('a server that ends under load fails the run', async () => {
  const dies = `"${process.execPath}" -e "let asked = 0; require('http').createServer((q, r) => { if (++asked > 10) { console.error('out of cheese'); process.exit(1) } r.end('ok') }).listen(process.env.PORT, '127.0.0.1')"`
  await assert.rejects(() => run(dies, { ...load, duration: 1_000 }, {}, 1), { message: /ended under load\.\nIt wrote:\n {2}out of cheese$/ })
})
