import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BodyRate, MAX_AHEAD_MS } from '../../plugins/server-defaults/body-rate.ts'

const rate = { bytesPerSecond: 240, grace: 5_000 }

test('nothing at all lives as long as the grace, and not a millisecond longer', () => {
  assert.equal(new BodyRate(rate, 0, 0).look(5_000, 0, true), false)
  assert.equal(new BodyRate(rate, 0, 0).look(5_001, 0, true), true)
})

test('behind the grace the average decides, to the byte', () => {
  assert.equal(new BodyRate(rate, 0, 100).look(10_000, 100 + 2_400, true), false)
  assert.equal(new BodyRate(rate, 0, 100).look(10_000, 100 + 2_399, true), true)
})

test('400 bytes a second live for an hour, 239 do not outlive the next look', () => {
  const fast = new BodyRate(rate, 0, 0)
  for (let s = 1; s <= 3_600; s++) assert.equal(fast.look(s * 1_000, s * 400, true), false, `${s} s`)
  const slow = new BodyRate(rate, 0, 0)
  const dead = [1, 2, 3, 4, 5, 6].filter(s => slow.look(s * 1_000, s * 239, true))
  assert.deepEqual(dead, [6])
})

test('a sender is not charged while nobody reads from it', () => {
  const body = new BodyRate(rate, 0, 0)
  assert.equal(body.look(1_000, 64_000, false), false)
  for (let s = 2; s <= 600; s++) assert.equal(body.look(s * 1_000, 64_000, false), false)
  // Read again: from here on it counts, with what had come before.
  assert.equal(body.look(601_000, 64_000, true), false)
  assert.equal(body.look(606_000, 64_000, true), false)
})

test('what came faster counts ahead for a minute at most', () => {
  const body = new BodyRate(rate, 0, 0)
  assert.equal(body.look(1_000, 1e9, true), false)
  assert.equal(body.look(1_000 + MAX_AHEAD_MS, 1e9, true), false)
  assert.equal(body.look(1_001 + MAX_AHEAD_MS, 1e9, true), true)
})
