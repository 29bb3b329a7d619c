import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Farewell } from '../../plugins/lifecycle/farewell.ts'
import { FakeClock } from '../support/fake-clock.ts'

test('they are ended one by one, evenly, the last before the window is over', () => {
  const clock = new FakeClock()
  const ended: Array<[string, number]> = []
  const farewell = new Farewell<string>(clock, item => ended.push([item, clock.now()]))
  farewell.start(['a', 'b', 'c'], 400)
  clock.advance(1_000)
  assert.deepEqual(ended, [['a', 100], ['b', 200], ['c', 300]])
  assert.equal(clock.timers, 0)
})

test('nobody to end is no timer; stop() ends nobody any more', () => {
  const clock = new FakeClock()
  const ended: string[] = []
  const farewell = new Farewell<string>(clock, item => ended.push(item))
  farewell.stop()
  farewell.start([], 400)
  assert.equal(clock.timers, 0)
  farewell.start(['a', 'b'], 300)
  clock.advance(100)
  farewell.stop()
  clock.advance(1_000)
  assert.deepEqual([ended, clock.timers], [['a'], 0])
})
