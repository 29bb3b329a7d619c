import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advise } from '../../cli/knee.ts'

const OFFERED = 1_000
/** Ten slots of 20 ms, as the example's downstream has: what a sweep of it read. */
const seen = [[2, 98, 274], [5, 245, 232], [8, 392, 156], [10, 490, 130], [12, 492, 136], [20, 491, 149], [40, 492, 190], [80, 493, 270]]
const points = seen.map(([limit, good, p99]) => ({ limit: limit!, good: good!, p99: p99! }))

test('the smallest limit with nearly the best throughput is recommended, and the one of most power is the inflection', () => {
  assert.deepEqual(advise(points, OFFERED), { inflection: 10, recommended: 10, remarks: [] })
})

test('where latency rises before throughput is at its best, the inflection comes first', () => {
  const { inflection, recommended } = advise([{ limit: 4, good: 100, p99: 20 }, { limit: 8, good: 150, p99: 60 }, { limit: 16, good: 151, p99: 200 }], OFFERED)
  assert.deepEqual([inflection, recommended], [4, 8])
})

test('a throughput that still rises, or never did, is said', () => {
  assert.match(advise(points.slice(0, 3), OFFERED).remarks.join(), /try larger ones/)
  assert.match(advise(points.slice(3), OFFERED).remarks.join(), /try smaller ones/)
  assert.match(advise([1, 10, 100].map(limit => ({ limit, good: 300, p99: 40 + limit / 100 })), OFFERED).remarks.join(), /All limits did alike: is it SURGE_LIMIT/)
  assert.deepEqual(advise(points.slice(3, 4), OFFERED).remarks, [])
})

test('a server that serves all that is offered shows no limit', () => {
  assert.match(advise(points, 495).remarks.join(), /raise --rate/)
})

test('without a good reply there is nothing to recommend; one limit without does not spoil the others', () => {
  const none = { limit: 1, good: 0, p99: NaN }
  assert.deepEqual(advise([none, { ...none, limit: 2 }], OFFERED), { inflection: undefined, recommended: undefined, remarks: ['No limit had a good reply: is --timeout long enough?'] })
  assert.equal(advise([none, ...points], OFFERED).inflection, 10)
})
