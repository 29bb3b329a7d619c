// Random claims, aborts, timeouts, resizes and drains against a naive model of the gate: what it may never do is
// release a slot twice, forget one, or admit past its limit.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Gate } from '../../plugins/shared/gate/gate.ts'
import { FixedLimit } from '../../plugins/shared/gate/limit.ts'
import { LoopTurns } from '../../plugins/shared/gate/loop-turns.ts'
import { Waiter, type Priority, type ShedReason } from '../../plugins/shared/gate/waiter.ts'
import { FakeClock } from '../support/fake-clock.ts'

class Claim extends Waiter {
  patience = Infinity
  outcomes: string[] = []
  slots = 0
  /** What its client, or the app in its place, does when it is shed. */
  onShed: () => void = () => {}
  override admitted () { this.outcomes.push('admitted'); this.slots++ }
  override shed (reason: ShedReason) { this.outcomes.push(reason); this.onShed() }
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('enter' as const), priority: fc.constantFrom<Priority>(0, 1, 2), raises: fc.constantFrom(0, 0, 1, 5) }) },
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
          const evicted = waiting().length < 4 ? undefined : waiting().sort((a, b) => b.priority - a.priority)[0]!
          const room = evicted === undefined || evicted.priority > move.priority
          if (move.raises > 0) claim.onShed = () => { gate.tune(new FixedLimit(limit = Math.min(8, limit + move.raises))) }
          const outcome = gate.enter(claim)
          // Whom it evicts may have raised the limit by more than those who go first need.
          assert.equal(outcome, !open ? 'draining' : free || (evicted !== undefined && claim.state === 'RUN') ? 'RUN' : room ? 'WAIT' : 'queue_full')
          if (outcome === 'RUN') claim.slots++
          claims.push(claim)
          break
        }
        case 'leave': if (claims.length > 0) gate.leave(claims[move.which % claims.length]!); break
        case 'orphan': if (claims.length > 0) gate.orphan(claims[move.which % claims.length]!); break
        case 'advance': clock.advance(move.ms); break
        case 'tune': gate.tune(new FixedLimit(limit = move.limit)); break
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

const rated = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('enter' as const), priority: fc.constantFrom<Priority>(0, 1, 2), patience: fc.constantFrom(60, 250, Infinity) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), which: fc.nat(40) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 200 }) }) }
)

test('who waits for tokens is served by priority and then in order, and only who would wait too long behind those is refused on arrival', () => {
  fc.assert(fc.property(fc.array(rated, { minLength: 5, maxLength: 120 }), steps => {
    const clock = new FakeClock()
    // A token each 10 ms, so that they are whole milliseconds.
    const gate = new Gate({ limit: new FixedLimit(1000), rate: { perSecond: 100, burst: 3 }, maxQueue: 1000, maxWait: 295, target: Infinity, orphanTimeout: 900 }, clock)
    const claims: Claim[] = []
    const waiting = () => claims.filter(claim => claim.state === 'WAIT')
    let tokens = 3
    let counted = 0

    /** Tokens that are there, by what has come in since and what was taken. */
    function refill (): void {
      tokens = Math.min(3, tokens + (clock.now() - counted) / 10)
      counted = clock.now()
    }

    for (const move of steps) {
      switch (move.do) {
        case 'enter': {
          refill()
          const claim = new Claim(move.priority)
          claim.patience = move.patience
          claim.admitted = () => {
            refill()
            tokens--
            const passed = waiting().filter(other => other.priority < claim.priority || (other.priority === claim.priority && claims.indexOf(other) < claims.indexOf(claim)))
            assert.deepEqual(passed, [], 'served before those who come first')
          }
          const before = waiting().filter(other => other.priority <= move.priority).length
          const due = Math.round((before + 1 - tokens) * 10)
          const outcome = gate.enter(claim)
          assert.equal(outcome, due <= 0 ? 'RUN' : due > Math.min(295, move.patience) ? 'predicted_wait' : 'WAIT')
          if (outcome === 'RUN') tokens--
          claims.push(claim)
          break
        }
        case 'leave': if (claims.length > 0) gate.leave(claims[move.which % claims.length]!); break
        case 'advance': clock.advance(move.ms)
      }
      for (const claim of waiting()) assert.ok(clock.now() - claim.since < 295, 'waits past maxWait')
    }
  }), { numRuns: 500 })
})

/** Runs for so many milliseconds of the event loop once it is admitted. */
class Computing extends Claim {
  compute: () => void = () => {}
  override admitted () {
    super.admitted()
    this.compute()
  }
}

const computing = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('enter' as const), priority: fc.constantFrom<Priority>(0, 1, 2), ms: fc.integer({ min: 0, max: 15 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('iterate' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'orphan' as const), which: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 120 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('tune' as const), limit: fc.integer({ min: 1, max: 6 }) }) }
)

test('with turns of the event loop as further permits, nobody waits beside a free slot unless a turn is coming', () => {
  fc.assert(fc.property(fc.array(computing, { minLength: 5, maxLength: 120 }), steps => {
    const clock = new FakeClock()
    let immediates: Array<() => void> = []
    const loop = new LoopTurns(clock.now, callback => { immediates.push(callback) })
    const gate = new Gate({ limit: new FixedLimit(3), maxQueue: 4, maxWait: 300, target: Infinity, orphanTimeout: 900 }, clock, loop)
    const claims: Computing[] = []
    let limit = 3

    function iterate () {
      const now = immediates
      immediates = []
      for (const immediate of now) immediate()
    }

    function check () {
      const { inflight, queued, orphans } = gate.stats()
      const inState = (...states: string[]) => claims.filter(({ state }) => states.includes(state)).length
      assert.deepEqual([inflight, queued, orphans], [inState('RUN', 'ORPHAN'), inState('WAIT'), inState('ORPHAN')])
      assert.ok(queued === 0 || inflight >= limit || immediates.length > 0, 'waits for a turn that never comes')
      assert.ok(queued <= 4)
      for (const claim of claims) assert.ok(claim.outcomes.length <= 1 && claim.slots <= 1, 'one outcome, one slot')
    }

    for (const move of steps) {
      const before = gate.stats().inflight
      switch (move.do) {
        case 'enter': {
          const claim = new Computing(move.priority)
          claim.compute = () => clock.advance(move.ms)
          claims.push(claim)
          if (gate.enter(claim) === 'RUN') {
            claim.slots++
            claim.compute()
          }
          break
        }
        case 'iterate': iterate(); break
        case 'leave': if (claims.length > 0) gate.leave(claims[move.which % claims.length]!); break
        case 'orphan': if (claims.length > 0) gate.orphan(claims[move.which % claims.length]!); break
        case 'advance': clock.advance(move.ms); break
        case 'tune': gate.tune(new FixedLimit(limit = move.limit))
      }
      assert.ok(gate.stats().inflight <= Math.max(limit, before))
      check()
    }
    for (let i = 0; i < 400 && (immediates.length > 0 || gate.stats().inflight > 0); i++) {
      for (const claim of claims) if (claim.state === 'RUN' || claim.state === 'ORPHAN') gate.leave(claim)
      iterate()
      check()
    }
    assert.equal(immediates.length, 0, 'the loop is left alone once everybody is served')
    assert.deepEqual([gate.stats().inflight, gate.stats().queued], [0, 0])
  }), { numRuns: 500 })
})
