import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Sweep } from '../../plugins/server-defaults/sweep.ts'
import { Link } from '../../plugins/shared/line.ts'
import { FakeClock } from '../support/fake-clock.ts'

class Member extends Link {
  looks: number[] = []
  look (now: number): void { this.looks.push(now) }
}

test('one timer for all, none while nobody is there', () => {
  const clock = new FakeClock()
  const sweep = new Sweep(100, clock, fn => fn())
  const members = Array.from({ length: 1_000 }, () => new Member())
  for (const one of members) sweep.add(one)
  assert.equal(clock.timers, 1)
  clock.advance(250)
  for (const { looks } of members) assert.deepEqual(looks, [100, 200])
  for (const one of members) sweep.delete(one)
  assert.equal(clock.timers, 0)
})

test('it looks when what has arrived is read, and stays one chain whoever comes and goes before that', () => {
  const clock = new FakeClock()
  const due: Array<() => void> = []
  const sweep = new Sweep(100, clock, fn => { due.push(fn) })
  const [first, second] = [new Member(), new Member()]
  sweep.add(first)
  clock.advance(100)
  assert.deepEqual(first.looks, [])
  sweep.delete(first)
  sweep.add(second)
  due.shift()!()
  assert.deepEqual(second.looks, [100])
  assert.equal(clock.timers, 1)
  clock.advance(100)
  assert.equal(due.length, 1)
})
