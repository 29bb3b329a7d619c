import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Load, orcaReport } from '../../plugins/load-balancer/load.ts'

function near (actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 0.01 * Math.max(1, expected), `${actual} is not ${expected}`)
}

function feed (load: Load, from: number, ms: number, step: number, inflight: number, limit: number, loop: number): number {
  for (const end = from + ms; from < end;) load.sample({ inflight, limit, loop }, from += step)
  return from
}

test('a step is at 63 % behind a second, and whole behind five', () => {
  const load = new Load(0)
  const now = feed(load, 0, 1_000, 100, 8, 10, 0.1)
  near(load.utilization, 0.8 * (1 - Math.exp(-1)))
  feed(load, now, 4_000, 100, 8, 10, 0.1)
  near(load.utilization, 0.8)
})

test('how often it is looked at makes no difference', () => {
  const [often, seldom] = [new Load(0), new Load(0)]
  feed(often, 0, 1_200, 20, 1, 2, 0)
  feed(seldom, 0, 1_200, 400, 1, 2, 0)
  near(often.utilization, seldom.utilization)
})

test('the larger of the two counts; without gates the loop alone; never above 1', () => {
  for (const [inflight, limit, loop, expected] of [[5, 10, 0.7, 0.7], [9, 10, 0.7, 0.9], [0, 0, 0.3, 0.3], [20, 10, 0.5, 1]] as const) {
    const load = new Load(0)
    feed(load, 0, 10_000, 100, inflight, limit, loop)
    near(load.utilization, expected)
  }
})

test('replies and failures a second', () => {
  const load = new Load(1_000)
  for (let now = 1_100; now <= 11_000; now += 100) {
    for (const status of [200, 200, 404, 503, 500]) load.replied(status)
    load.sample({ inflight: 0, limit: 1, loop: 0 }, now)
  }
  near(load.rate, 50)
  near(load.errors, 20)
  feed(load, 11_000, 10_000, 100, 0, 1, 0)
  near(load.rate, 0)
})

test('a second look in the same millisecond divides by no zero and loses no reply', () => {
  const load = new Load(0)
  load.replied(200)
  load.sample({ inflight: 0, limit: 0, loop: 0 }, 0)
  assert.equal(load.rate, 0)
  load.sample({ inflight: 0, limit: 0, loop: 0 }, 100)
  near(load.rate, 10 * (1 - Math.exp(-0.1)))
})

test('a report has the fields of OrcaLoadReport alone, finite and not negative', () => {
  const load = new Load(0)
  assert.equal(orcaReport(load), 'JSON {"application_utilization":0,"rps_fractional":0,"eps":0}')
  load.replied(503)
  load.replied(200)
  load.sample({ inflight: 1, limit: 3, loop: 0 }, 1e12)
  assert.equal(orcaReport(load), 'JSON {"application_utilization":0.333,"rps_fractional":0,"eps":0}')
})
