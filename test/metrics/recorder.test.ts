import assert from 'node:assert/strict'
import { test } from 'node:test'
import { History } from '../../plugins/metrics/history.ts'
import { Recorder } from '../../plugins/metrics/recorder.ts'
import { Instruments } from '../../plugins/shared/instruments.ts'

test('percentiles are of the second and of what was measured, not of buckets that a scraper would get', t => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'] })
  const history = new History()
  const recorder = new Recorder(history, new Instruments())
  recorder.start()
  t.after(() => recorder.stop())
  const latencies = (): any[] => history.since(0).map(({ charts }) => charts.latency)
  // Each second is the difference to the one before, so the first is none.
  recorder.replied(3_000)
  t.mock.timers.tick(1_000)
  for (let i = 0; i < 98; i++) recorder.replied(123)
  recorder.replied(141)
  recorder.replied(141)
  t.mock.timers.tick(1_000)
  const [{ p50, p95, p99 }] = latencies()
  for (const [got, real] of [[p50, 123], [p95, 123], [p99, 141]]) assert.ok(Math.abs(got - real) < 0.02 * real, `${got} for ${real}`)
  t.mock.timers.tick(1_000)
  assert.deepEqual(latencies()[1], { p50: null, p95: null, p99: null })
  // Less than a microsecond, by a clock that has such.
  recorder.replied(0)
  t.mock.timers.tick(1_000)
  assert.equal(latencies()[2].p99, 0.001)
})
