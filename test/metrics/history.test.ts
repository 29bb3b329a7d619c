import assert from 'node:assert/strict'
import { test } from 'node:test'
import { History } from '../../plugins/metrics/history.ts'
import { Histogram } from '../../plugins/shared/histogram.ts'
import { Instruments } from '../../plugins/shared/instruments.ts'

function setUp () {
  const instruments = new Instruments()
  const good = new Histogram([0.01, 0.1])
  const shed = new Histogram([0.01, 0.1])
  const counts = { refused: 0, admitted: 0, hits: 0, notModified: 0 }
  instruments.add({ name: 'http.server.request.duration', type: 'histogram', help: '', unit: 's' }, add => {
    add(good, { 'http.response.status_code': 200 })
    add(shed, { 'http.response.status_code': 503 })
  })
  instruments.add({ name: 'fastify.refusals', type: 'counter', help: '' }, add => add(counts.refused, { by: 'concurrency', reason: 'queue_full' }))
  instruments.add({ name: 'fastify.admission.requests', type: 'counter', help: '' }, add => add(counts.admitted, { group: 'orders' }))
  instruments.add({ name: 'fastify.admission.limit', type: 'gauge', help: '' }, add => { add(10, { group: 'orders' }); add(5, { group: 'idle' }) })
  instruments.add({ name: 'fastify.admission.queue.depth', type: 'gauge', help: '' }, add => { add(6, { group: 'orders' }); add(0, { group: 'idle' }) })
  instruments.add({ name: 'fastify.compression.cache.hits', type: 'counter', help: '' }, add => add(counts.hits))
  instruments.add({ name: 'fastify.conditional_responses', type: 'counter', help: '' }, add => { add(counts.notModified, { outcome: 'not_modified' }); add(9, { outcome: 'failed' }) })
  const history = new History()
  return { good, shed, counts, history, record: (at: number) => history.record(at, instruments.collect(), { latency: { p50: 50, p95: 60, p99: null }, loopDelay: 3 }) }
}

test('a moment is the difference of two collections, by the time between them', () => {
  const { good, shed, counts, history, record } = setUp()
  good.observe(0.005)
  record(1_000)
  for (let i = 0; i < 10; i++) good.observe(0.05)
  for (let i = 0; i < 4; i++) shed.observe(0.001)
  counts.refused = 4
  counts.admitted = 10
  counts.hits = 2
  counts.notModified = 6
  record(3_000)
  const [{ at, charts }, ...more] = history.since(0) as [any]
  assert.deepEqual([at, more.length], [3_000, 0])
  assert.deepEqual(charts.replies, { '2xx': 5, '3xx': 0, '4xx': 0, '5xx': 2, 'no reply': 0 })
  assert.deepEqual(charts.refusals, { 'concurrency: queue_full': 2 })
  assert.deepEqual(charts.gates, { 'orders limit': 10 })
  assert.deepEqual(charts.queues, { orders: 6 })
  assert.deepEqual(charts.cache, { hits: 1, '304s': 3 })
  assert.deepEqual(charts.loop, { delay: 3 })
  assert.deepEqual(charts.latency, { p50: 50, p95: 60, p99: null })
})

test('five minutes are kept, and only what is new is asked for', () => {
  const { history, record } = setUp()
  for (let second = 0; second <= 400; second++) record(second * 1_000)
  assert.equal(history.since(0).length, 300)
  assert.deepEqual(history.since(398_000).map(({ at }) => at), [399_000, 400_000])
})
