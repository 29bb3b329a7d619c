import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listenOverflows, queued } from '../../plugins/metrics/accept-queue.ts'
import { readDelays } from '../../plugins/metrics/runtime.ts'
import { delaySince } from '../../plugins/metrics/start-time.ts'
import { UpstreamMeter } from '../../plugins/metrics/upstream-meter.ts'
import { Instruments } from '../../plugins/shared/instruments.ts'
import { FakeClock } from '../support/fake-clock.ts'

const NOW = 1_700_000_000_500

test('a start time in the unit of any proxy', () => {
  for (const header of ['t=1700000000.123', '1700000000.123', 't=1700000000123', 't=1700000000123000', '1700000000123000000']) {
    assert.ok(Math.abs(delaySince(header, NOW)! - 377) < 0.5, header)
  }
})

test('a start time that is none, ahead or absurd', () => {
  for (const header of [undefined, '', 't=', 'yesterday', '-5', '1e12', ['1', '2']]) assert.equal(delaySince(header, NOW), undefined)
  assert.equal(delaySince('t=1700000009', NOW), 0)
  for (const ahead of ['t=1800000000', '99999999999999999999']) assert.equal(delaySince(ahead, NOW), undefined)
  assert.equal(delaySince('t=1600000000', NOW), 60_000)
})

test('the accept queue is that of the LISTEN rows of the own ports', () => {
  const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000011 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0BB9 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0100007F:0BB8 0100007F:C350 01 00000000:000000FF 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
`
  assert.equal(queued(text, new Set([3000])), 17)
  assert.equal(queued(text, new Set([3000, 3001])), 19)
  assert.equal(queued(text, new Set([80])), undefined)
})

test('ListenOverflows by its name', () => {
  assert.equal(listenOverflows('TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\nIpExt: InNoRoutes\nIpExt: 5\n'), 22)
  assert.equal(listenOverflows('TcpExt: ListenDrops\nTcpExt: 5\n'), undefined)
})

test('a delay is what exceeds the timer’s own length, and nothing before the first sample', () => {
  const histogram = { min: 9.5e6, max: 60e6, mean: 20e6, count: 10, percentile: (share: number) => share * 1e6 }
  assert.deepEqual(Object.entries(readDelays(histogram)).map(([name, value]) => [name, Math.round(value * 1e4) / 1e4]), [['min', 0], ['max', 0.05], ['mean', 0.01], ['p50', 0.04], ['p90', 0.08], ['p99', 0.089]])
  assert.equal(readDelays({ ...histogram, min: 9.2e18, max: 0, count: 0 }).min, 0)
})

test('a call to an upstream: its wait once, its time to the head, an error after that', () => {
  const clock = new FakeClock()
  const meter = new UpstreamMeter({ 'http://a.test': 'a' }, clock.now)
  const instruments = new Instruments()
  meter.register(instruments)
  const read = (name: string) => instruments.collect().find(({ instrument }) => instrument.name === name)?.points.map(({ labels, value }) => [labels.upstream, labels.status_class ?? labels.error_type, typeof value === 'number' ? value : value.sum])
  const call = {}
  meter.created(call, 'http://a.test')
  assert.deepEqual(read('fastify.upstream.pending'), [['a', undefined, 1]])
  clock.advance(100)
  meter.sent(call)
  clock.advance(50)
  meter.sent(call)
  meter.replied(call, 103)
  clock.advance(50)
  meter.replied(call, 200)
  meter.failed(call, { code: 'UND_ERR_SOCKET' })
  assert.deepEqual(read('fastify.upstream.wait.duration'), [['a', undefined, 0.1]])
  assert.deepEqual(read('fastify.upstream.request.duration'), [['a', '2xx', 0.2]])
  assert.deepEqual(read('fastify.upstream.errors'), [['a', 'UND_ERR_SOCKET', 1]])
  assert.deepEqual(read('fastify.upstream.pending'), [['a', undefined, 0]])
})

test('an error is named by its code, or where that is no word by its name', () => {
  const meter = new UpstreamMeter({}, () => 0)
  const instruments = new Instruments()
  meter.register(instruments)
  for (const error of [{ code: 'ECONNRESET', name: 'Error' }, new DOMException('', 'AbortError'), new DOMException('', 'TimeoutError'), undefined]) {
    const call = {}
    meter.created(call, 'http://a.test')
    meter.failed(call, error)
  }
  const { points } = instruments.collect().find(({ instrument }) => instrument.name === 'fastify.upstream.errors')!
  assert.deepEqual(points.map(({ labels }) => labels.error_type), ['ECONNRESET', 'AbortError', 'TimeoutError', 'Error'])
})

test('an upgrade is a reply, and waits no more', () => {
  const meter = new UpstreamMeter({}, () => 0)
  const instruments = new Instruments()
  meter.register(instruments)
  const call = {}
  meter.created(call, 'http://a.test')
  meter.sent(call)
  meter.replied(call, 101)
  const points = (name: string) => instruments.collect().find(({ instrument }) => instrument.name === name)!.points
  assert.equal(points('fastify.upstream.pending')[0]!.value, 0)
  assert.equal(points('fastify.upstream.request.duration')[0]!.labels.status_class, '1xx')
})

test('origins without an end fold into one', () => {
  const meter = new UpstreamMeter({}, () => 0)
  const instruments = new Instruments()
  meter.register(instruments)
  for (let port = 0; port < 500; port++) meter.created({}, `http://a.test:${port}`)
  const [family] = instruments.collect().filter(({ instrument }) => instrument.name === 'fastify.upstream.pending')
  assert.equal(family!.points.length, 101)
  assert.deepEqual(family!.points.at(-1), { labels: { upstream: '_OTHER' }, value: 400 })
})
