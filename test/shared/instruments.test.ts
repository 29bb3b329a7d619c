import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Histogram } from '../../plugins/shared/histogram.ts'
import { Instruments, type Instrument } from '../../plugins/shared/instruments.ts'

const limit: Instrument = { name: 'fastify.admission.limit', type: 'gauge', help: 'Claims that may run at a time' }

test('a histogram counts a value at the first bound that it does not pass, and what passes all of them', () => {
  const histogram = new Histogram([1, 2, 5])
  for (const value of [0, 1, 1.5, 5, 5.1, 100]) histogram.observe(value)
  assert.deepEqual([...histogram.counts], [2, 1, 1, 2])
  assert.equal(histogram.count, 6)
  assert.equal(histogram.sum, 112.6)
})

test('nothing is read until somebody asks, and then what it is by now', () => {
  const instruments = new Instruments()
  let value = 1
  let reads = 0
  instruments.add(limit, add => { reads++; add(value, { group: 'default' }) })
  assert.equal(reads, 0)
  value = 7
  assert.deepEqual(instruments.collect(), [{ instrument: limit, points: [{ labels: { group: 'default' }, value: 7 }] }])
})

test('an instrument of several contexts is one family: the same labels add up, others stand side by side', () => {
  const instruments = new Instruments()
  instruments.add(limit, add => { add(3, { group: 'default' }); add(2, { group: 'reports' }) })
  instruments.add(limit, add => add(10, { group: 'default' }))
  const [family, ...more] = instruments.collect()
  assert.deepEqual(more, [])
  assert.deepEqual(family!.points.map(({ labels, value }) => [labels.group, value]), [['default', 13], ['reports', 2]])
})

test('histograms of several contexts add up without touching the counted ones', () => {
  const instruments = new Instruments()
  const [one, other] = [new Histogram([1]), new Histogram([1])]
  one.observe(0.5)
  other.observe(3)
  const wait: Instrument = { name: 'wait', type: 'histogram', help: 'Wait', unit: 's' }
  instruments.add(wait, add => add(one))
  instruments.add(wait, add => add(other))
  const value = instruments.collect()[0]!.points[0]!.value as Histogram
  assert.deepEqual([[...value.counts], value.sum], [[1, 1], 3.5])
  assert.deepEqual([...one.counts], [1, 0])
})

test('an instrument that has nothing to say is no family', () => {
  const instruments = new Instruments()
  instruments.add(limit, () => {})
  assert.deepEqual(instruments.collect(), [])
})
