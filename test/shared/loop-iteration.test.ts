import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LoopIteration } from '../../plugins/shared/gate/loop-iteration.ts'
import { FakeClock } from '../support/fake-clock.ts'

function setUp () {
  const clock = new FakeClock()
  let end = () => {}
  let watched = 0
  const loop = new LoopIteration(clock.now, fn => {
    end = fn
    watched++
  })
  return {
    loop,
    clock,
    watched: () => watched,
    /** One iteration that takes in a request every 10 ms; whether each was told that the loop is busy. */
    iterate (ms: number): boolean[] {
      const told = []
      for (let at = 0; at < ms; at += 10) {
        told.push(loop.busy(clock.now()))
        clock.advance(10)
      }
      end()
      return told
    }
  }
}

test('one long iteration is no reason to refuse', () => {
  const { iterate } = setUp()
  assert.ok(iterate(240).every(busy => !busy))
})

test('iterations that stay too long are: the late comers of each are told', () => {
  const { iterate } = setUp()
  iterate(60)
  assert.ok(iterate(40).every(busy => !busy))
  const told = iterate(100)
  assert.deepEqual(told, [false, false, false, false, true, true, true, true, true, true])
})

test('a short iteration is not followed by another that is timed at once, a long one is', () => {
  const { loop, iterate, clock, watched } = setUp()
  iterate(10)
  clock.advance(1)
  loop.busy(clock.now())
  assert.equal(watched(), 1)
  clock.advance(5)
  iterate(100)
  loop.busy(clock.now())
  assert.equal(watched(), 3)
})

test('one short iteration, or an idle moment, ends it', () => {
  const { iterate, clock } = setUp()
  for (let i = 0; i < 5; i++) iterate(100)
  iterate(30)
  assert.ok(iterate(100).every(busy => !busy))
  for (let i = 0; i < 5; i++) iterate(100)
  clock.advance(11)
  assert.ok(iterate(100).every(busy => !busy))
})
