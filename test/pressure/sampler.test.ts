import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Sampler } from '../../plugins/pressure/sampler.ts'
import { FakeClock } from '../support/fake-clock.ts'

function sampling () {
  const clock = new FakeClock()
  const histogram = { count: 0, value: 0, asked: 0, resets: 0, percentile (p: number) { this.asked = p; return this.value * 1e6 }, reset () { this.resets++ } }
  const numbers = { heapUsed: 1, rssBytes: 2, eventLoopUtilized: 0.3 }
  const sampler = new Sampler({ memory: () => numbers, histogram, resolution: 10 }, 1000, clock)
  sampler.start()
  return { clock, histogram, numbers, sampler }
}

test('a sample is taken each interval, and is all zero before the first', () => {
  const { clock, histogram, numbers, sampler } = sampling()
  assert.deepEqual(sampler.last, { eventLoopDelay: 0, heapUsed: 0, rssBytes: 0, eventLoopUtilized: 0 })
  Object.assign(histogram, { count: 90, value: 310 })
  clock.advance(999)
  assert.equal(sampler.last.heapUsed, 0)
  clock.advance(1)
  assert.deepEqual(sampler.last, { eventLoopDelay: 300, heapUsed: 1, rssBytes: 2, eventLoopUtilized: 0.3 })
  assert.equal(histogram.asked, 99)
  assert.equal(histogram.resets, 1)
  numbers.heapUsed = 7
  histogram.value = 10
  clock.advance(1000)
  assert.equal(sampler.last.heapUsed, 7)
  assert.equal(sampler.last.eventLoopDelay, 0)
})

test('the delay is never below zero, although ticks come early', () => {
  const { clock, histogram, sampler } = sampling()
  Object.assign(histogram, { count: 99, value: 9.7 })
  clock.advance(1000)
  assert.equal(sampler.last.eventLoopDelay, 0)
})

test('a loop that stood still for the whole interval is as late as the sampling timer', () => {
  const { clock, sampler } = sampling()
  // The timer of 1,000 ms fires at 3,500 because the loop stood still.
  const { now } = clock
  clock.now = () => now() + 2500
  clock.advance(1000)
  assert.equal(sampler.last.eventLoopDelay, 2500)
})

test('stop() leaves no timer', () => {
  const { clock, sampler } = sampling()
  clock.advance(3000)
  assert.equal(clock.timers, 1)
  sampler.stop()
  assert.equal(clock.timers, 0)
})
