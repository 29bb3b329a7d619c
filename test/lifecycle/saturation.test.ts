import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Saturation } from '../../plugins/lifecycle/saturation.ts'
import { FakeClock } from '../support/fake-clock.ts'

function record (saturation: Saturation, refused: number, served: number): void {
  for (let i = 0; i < refused; i++) saturation.record(true)
  for (let i = 0; i < served; i++) saturation.record(false)
}

test('saturated at the share, and until it is below half of it', () => {
  const clock = new FakeClock()
  const saturation = new Saturation(0.5, clock)
  record(saturation, 49, 51)
  assert.equal(saturation.saturated, false)
  record(saturation, 2, 0)
  assert.equal(saturation.saturated, true)
  record(saturation, 0, 90)
  assert.equal(saturation.saturated, true)
  record(saturation, 0, 13)
  assert.equal(saturation.saturated, false)
})

test('a few requests say nothing', () => {
  const saturation = new Saturation(0.5, new FakeClock())
  record(saturation, 19, 0)
  assert.equal(saturation.saturated, false)
  record(saturation, 1, 0)
  assert.equal(saturation.saturated, true)
})

test('what was refused 5 to 10 s ago still counts, what is older does not', () => {
  const clock = new FakeClock()
  const saturation = new Saturation(0.5, clock)
  record(saturation, 50, 0)
  clock.advance(5_000)
  assert.equal(saturation.saturated, true)
  clock.advance(5_000)
  assert.equal(saturation.saturated, false)
  record(saturation, 50, 0)
  clock.advance(60_000)
  assert.equal(saturation.saturated, false)
})
