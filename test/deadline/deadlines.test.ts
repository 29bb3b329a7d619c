import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Deadline } from '../../plugins/deadline/deadline.ts'
import { Deadlines } from '../../plugins/deadline/deadlines.ts'
import { FakeClock } from '../support/fake-clock.ts'

class Recorded extends Deadline {
  over = 0
  moving = false
  override expired () { this.over++ }
  override moved () { return this.moving }
}

function setUp () {
  const clock = new FakeClock()
  return { clock, deadlines: new Deadlines(clock) }
}

test('expires at its time, not a millisecond before, once', () => {
  const { clock, deadlines } = setUp()
  const deadline = new Recorded(100, clock.now(), clock)
  deadlines.start(deadline)
  clock.advance(99)
  assert.equal(deadline.over, 0)
  assert.equal(deadline.remaining(), 1)
  clock.advance(1)
  assert.equal(deadline.over, 1)
  clock.advance(1_000)
  assert.equal(deadline.over, 1)
  assert.deepEqual([deadlines.size, clock.timers, deadline.remaining()], [0, 0, 0])
})

test('one timer serves deadlines of every length, whatever their order', () => {
  const { clock, deadlines } = setUp()
  const list = [500, 100, 300].map(timeout => new Recorded(timeout, clock.now(), clock))
  for (const deadline of list) {
    deadlines.start(deadline)
    assert.equal(clock.timers, 1)
  }
  clock.advance(100)
  assert.deepEqual(list.map(deadline => deadline.over), [0, 1, 0])
  clock.advance(200)
  assert.deepEqual(list.map(deadline => deadline.over), [0, 1, 1])
  clock.advance(200)
  assert.deepEqual(list.map(deadline => deadline.over), [1, 1, 1])
})

test('a clock that moves on between two readings does not put it off for ever', () => {
  const { clock, deadlines } = setUp()
  const creeping = { ...clock, now: () => { clock.advance(0.001); return clock.now() } }
  const deadline = new Recorded(100, clock.now(), creeping)
  const watched = new Deadlines(creeping)
  watched.start(deadline)
  clock.advance(102)
  assert.equal(deadline.over, 1)
  assert.equal(deadlines.size, 0)
})

test('one that was stopped never expires', () => {
  const { clock, deadlines } = setUp()
  const deadline = new Recorded(100, clock.now(), clock)
  deadlines.start(deadline)
  deadlines.stop(deadline)
  clock.advance(1_000)
  assert.equal(deadline.over, 0)
})

test('time before it was started counts: it runs from the arrival', () => {
  const { clock, deadlines } = setUp()
  const arrival = clock.now()
  clock.advance(60)
  const deadline = new Recorded(100, arrival, clock)
  deadlines.start(deadline)
  clock.advance(40)
  assert.equal(deadline.over, 1)
})

test('it stands still while the body comes in', () => {
  const { clock, deadlines } = setUp()
  const deadline = new Recorded(100, clock.now(), clock)
  deadline.moving = true
  deadline.stand()
  deadlines.start(deadline)
  clock.advance(10_000)
  assert.deepEqual([deadline.over, deadline.remaining()], [0, 100])
  deadline.run()
  deadlines.resumed(deadline)
  clock.advance(99)
  assert.equal(deadline.over, 0)
  clock.advance(1)
  assert.equal(deadline.over, 1)
})

test('a body that does not move for a whole timeout is over', () => {
  const { clock, deadlines } = setUp()
  const deadline = new Recorded(100, clock.now(), clock)
  deadline.stand()
  deadlines.start(deadline)
  clock.advance(99)
  assert.equal(deadline.over, 0)
  clock.advance(1)
  assert.equal(deadline.over, 1)
})

test('one that ends others which are due in the same look leaves the rest of the line as it is', () => {
  const { clock, deadlines } = setUp()
  class Leader extends Recorded {
    override expired () {
      super.expired()
      deadlines.stop(follower)
    }
  }
  const leader = new Leader(100, 0, clock)
  const follower = new Recorded(100, 0, clock)
  const others = [100, 100, 200].map(timeout => new Recorded(timeout, 0, clock))
  for (const deadline of [leader, follower, ...others]) deadlines.start(deadline)
  clock.advance(100)
  assert.deepEqual([leader.over, follower.over, ...others.map(({ over }) => over)], [1, 0, 1, 1, 0])
  clock.advance(100)
  assert.deepEqual([others[2]!.over, deadlines.size, clock.timers], [1, 0, 0])
  const later = new Recorded(100, clock.now(), clock)
  deadlines.start(later)
  clock.advance(100)
  assert.equal(later.over, 1)
})

test('to stop one that is not watched changes nothing', () => {
  const { clock, deadlines } = setUp()
  const [watched, stranger] = [new Recorded(100, 0, clock), new Recorded(100, 0, clock)]
  deadlines.start(watched)
  assert.deepEqual([deadlines.stop(stranger), deadlines.stop(watched), deadlines.stop(watched), deadlines.size], [false, true, false, 0])
})

test('the signal is the same whenever it is asked for, and aborts once', () => {
  const { clock } = setUp()
  const early = new Recorded(100, 0, clock)
  const signal = early.signal
  early.abort(new Error('first'))
  early.abort(new Error('second'))
  assert.equal(signal.aborted, true)
  assert.match(signal.reason.message, /first/)
  const late = new Recorded(100, 0, clock)
  late.abort(new Error('before anybody asked'))
  assert.equal(late.signal.aborted, true)
})
