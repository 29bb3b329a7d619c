import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Gate } from '../../plugins/shared/gate/gate.ts'
import { FixedLimit } from '../../plugins/shared/gate/limit.ts'
import { TokenBucket } from '../../plugins/shared/gate/token-bucket.ts'
import { Waiter, type ShedReason } from '../../plugins/shared/gate/waiter.ts'
import { FakeClock } from '../support/fake-clock.ts'

test('a burst at once, then one an interval', () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 3 })
  assert.deepEqual([0, 0, 0, 0].map(now => bucket.take(now)), [true, true, true, false])
  assert.equal(bucket.wait(0), 100)
  assert.equal(bucket.wait(0, 2), 300)
  assert.equal(bucket.take(99), false)
  assert.equal(bucket.take(100), true)
  assert.equal(bucket.take(100), false)
})

test('in no window does it give more than burst + rate × time', () => {
  fc.assert(fc.property(fc.record({ perSecond: fc.integer({ min: 1, max: 500 }), burst: fc.integer({ min: 1, max: 20 }) }), fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 200 }), (rate, gaps) => {
    const bucket = new TokenBucket(rate)
    const taken: number[] = []
    let now = 0
    for (const gap of gaps) {
      now += gap
      while (bucket.take(now)) taken.push(now)
    }
    for (let from = 0; from < taken.length; from++) {
      for (let to = from; to < taken.length; to++) {
        assert.ok(to - from + 1 <= rate.burst + rate.perSecond * (taken[to]! - taken[from]!) / 1000 + 1e-6)
      }
    }
  }))
})

class Claim extends Waiter {
  patience = Infinity
  outcome = ''
  override admitted () { this.outcome = 'admitted' }
  override shed (reason: ShedReason) { this.outcome = reason }
}

test('a gate with a rate admits its waiters as the tokens come, and one that gives up takes none', () => {
  const clock = new FakeClock()
  const gate = new Gate({ limit: new FixedLimit(100), rate: { perSecond: 10, burst: 1 }, maxQueue: 10, maxWait: 250, target: 20, orphanTimeout: 1000 }, clock)
  const [first, second, third, fourth] = [0, 1, 2, 3].map(() => new Claim(1)) as [Claim, Claim, Claim, Claim]
  assert.equal(gate.enter(first), 'RUN')
  assert.equal(gate.enter(second), 'WAIT')
  assert.equal(gate.enter(third), 'WAIT')
  assert.equal(gate.enter(fourth), 'predicted_wait', 'its token would come after 300 ms')
  gate.leave(second)
  clock.advance(99)
  assert.equal(third.outcome, '')
  clock.advance(1)
  assert.equal(third.outcome, 'admitted', 'it got the token of the one that left')
  assert.deepEqual([gate.stats().gone, gate.stats().congested], [1, false])
})

test('the slower of the two permits decides', () => {
  const clock = new FakeClock()
  const gate = new Gate({ limit: new FixedLimit(1), rate: { perSecond: 1000, burst: 10 }, maxQueue: 10, maxWait: 5_000, target: Infinity, orphanTimeout: 1000 }, clock)
  const [first, second] = [new Claim(1), new Claim(1)]
  gate.enter(first)
  assert.equal(gate.enter(second), 'WAIT')
  clock.advance(1_000)
  assert.equal(second.outcome, '', 'tokens enough, no slot')
  gate.leave(first)
  assert.equal(second.outcome, 'admitted')
})
