// Random claims, aborts, timeouts, resizes and drains against a naive model of the gate: what it may never do is
// release a slot twice, forget one, or admit past its limit.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Gate } from '../../plugins/shared/gate/gate.ts'
import { FixedLimit } from '../../plugins/shared/gate/limit.ts'
import { Waiter, type Priority, type ShedReason } from '../../plugins/shared/gate/waiter.ts'
import { FakeClock } from '../support/fake-clock.ts'

class Claim extends Waiter {
  outcomes: string[] = []
  slots = 0
  override admitted () { this.outcomes.push('admitted'); this.slots++ }
  override shed (reason: ShedReason) { this.outcomes.push(reason) }
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('enter' as const), priority: fc.constantFrom<Priority>(0, 1, 2) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'orphan' as const), which: fc.nat(40) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 400 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('tune' as const), limit: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('drain' as const, 'reopen' as const) }) }
)

test('the gate keeps its invariants whatever comes', () => {
  fc.assert(fc.property(fc.array(step, { minLength: 5, maxLength: 120 }), steps => {
    const clock = new FakeClock()
    const gate = new Gate({ limit: new FixedLimit(3), maxQueue: 4, maxWait: 300, target: Infinity, orphanTimeout: 900 }, clock)
    const claims: Claim[] = []
    let limit = 3
    let open = true
    const live = () => claims.filter(claim => claim.state === 'RUN' || claim.state === 'ORPHAN')
    const waiting = () => claims.filter(claim => claim.state === 'WAIT')

    for (const move of steps) {
      const before = live().length
      switch (move.do) {
        case 'enter': {
          const claim = new Claim(move.priority)
          const free = before < limit && waiting().length === 0
          const room = waiting().length < 4 || waiting().some(other => other.priority > move.priority)
          const outcome = gate.enter(claim)
          assert.equal(outcome, !open ? 'draining' : free ? 'RUN' : room ? 'WAIT' : 'queue_full')
          if (outcome === 'RUN') claim.slots++
          claims.push(claim)
          break
        }
        case 'leave': if (claims.length > 0) gate.leave(claims[move.which % claims.length]!); break
        case 'orphan': if (claims.length > 0) gate.orphan(claims[move.which % claims.length]!); break
        case 'advance': clock.advance(move.ms); break
        case 'tune': gate.tune(limit = move.limit); break
        case 'drain': gate.drain(); open = false; break
        case 'reopen': gate.reopen(); open = true
      }
      const stats = gate.stats()
      assert.equal(stats.inflight, live().length, 'every slot belongs to one claim')
      assert.equal(stats.queued, waiting().length, 'live waiters only')
      assert.equal(stats.orphans, claims.filter(claim => claim.state === 'ORPHAN').length)
      assert.ok(stats.inflight <= Math.max(limit, before), 'granted past the limit')
      assert.ok(stats.inflight >= limit || stats.queued === 0, 'somebody waits beside a free slot')
      assert.ok(stats.queued <= 4)
      for (const claim of claims) {
        assert.ok(claim.outcomes.length <= 1, 'one outcome a waiter')
        assert.ok(claim.slots <= 1, 'one slot a claim')
      }
      for (const claim of waiting()) assert.ok(clock.now() - claim.since < 300, 'waits past maxWait')
    }
    for (const claim of claims) gate.leave(claim)
    const { inflight, queued, orphans } = gate.stats()
    assert.deepEqual({ inflight, queued, orphans }, { inflight: 0, queued: 0, orphans: 0 })
  }), { numRuns: 500 })
})
