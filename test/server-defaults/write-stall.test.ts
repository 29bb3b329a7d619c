import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WriteStall } from '../../plugins/server-defaults/write-stall.ts'

test('a reply of which nothing moves is stalled from its timeout on', () => {
  const stall = new WriteStall(60_000)
  assert.equal(stall.look(5_000, true, 100), false)
  assert.equal(stall.look(64_999, true, 100), false)
  assert.equal(stall.look(65_000, true, 100), true)
})

test('one byte a look is a move', () => {
  const stall = new WriteStall(10)
  for (let i = 1; i < 1_000; i++) assert.equal(stall.look(i * 9, true, i), false)
})

test('where nothing waits nothing stalls, and waiting counts from its own begin', () => {
  const stall = new WriteStall(60_000)
  assert.equal(stall.look(0, true, 100), false)
  assert.equal(stall.look(50_000, false, 100), false)
  assert.equal(stall.look(3_600_000, true, 100), false)
  assert.equal(stall.look(3_659_999, true, 100), false)
  assert.equal(stall.look(3_660_000, true, 100), true)
})

test('with a step, less than that is no move', () => {
  const stall = new WriteStall(100, 4_096)
  assert.equal(stall.look(0, true, 0), false)
  assert.equal(stall.look(100, true, 4_095), true)
  assert.equal(stall.look(100, true, 4_096), false)
})
