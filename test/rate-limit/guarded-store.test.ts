import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Answer, Claim, RemoteCounter } from '../../plugins/rate-limit/counter.ts'
import { describe, Policy, type Decision } from '../../plugins/rate-limit/gcra.ts'
import { Guard, GuardedCounter } from '../../plugins/rate-limit/guarded-store.ts'
import { KeyedHash } from '../../plugins/rate-limit/keyed-hash.ts'
import { MemoryStore } from '../../plugins/rate-limit/memory-store.ts'
import { FakeClock } from '../support/fake-clock.ts'

const none = { ban: -1, continueExceeding: false, exponentialBackoff: false }
const policies = [new Policy({ max: 4, window: 60_000 })]
const admitted = describe('admitted', policies, [{ debt: 0 }], -1, 0)

function setUp (onStoreError: Claim['onStoreError'] = 'closed', instances = 2) {
  const clock = new FakeClock()
  const asked: Answer<Decision>[] = []
  const changes: [boolean, string | undefined][] = []
  const read: (() => void)[] = []
  const guard = new Guard({ storeTimeout: 50, instances, clock, afterReading: fn => { read.push(fn) }, changed: (up, error) => { changes.push([up, error?.message]) } })
  const remote: RemoteCounter = { take: (_claim, done) => { asked.push(done) } }
  const counter = new GuardedCounter(guard, remote, new MemoryStore(64, clock, new KeyedHash(new Uint32Array(2))).counter('', none))
  const claim: Claim = { key: 'k', policies, cost: 1, onStoreError }
  const outcomes: string[] = []

  function ask (): string {
    const now = counter.now(claim)
    if (now !== undefined) return now.outcome
    counter.later(claim, ({ outcome }) => { outcomes.push(outcome) })
    return 'asked'
  }

  /** Time, and then one turn of the loop. */
  function pass (ms: number): void {
    clock.advance(ms)
    for (const fn of read.splice(0)) fn()
  }
  return { clock, asked, changes, guard, counter, claim, outcomes, ask, pass, read }
}

test('an answer in time decides', () => {
  const { asked, outcomes, ask, guard } = setUp()
  assert.equal(ask(), 'asked')
  asked[0]!(null, admitted)
  assert.deepEqual(outcomes, ['admitted'])
  assert.equal(guard.stats.up, true)
})

test('without an answer it ends at storeTimeout, not before, and a late answer is nobody\'s', () => {
  const { asked, outcomes, ask, pass } = setUp()
  ask()
  pass(20)
  ask()
  pass(29)
  assert.deepEqual(outcomes, [])
  pass(1)
  assert.deepEqual(outcomes, ['unavailable'])
  pass(20)
  assert.deepEqual(outcomes, ['unavailable', 'unavailable'])
  for (const done of asked) done(null, admitted)
  assert.equal(outcomes.length, 2)
})

test('an answer that came in while the loop was busy counts', () => {
  const { asked, outcomes, ask, clock, read } = setUp()
  ask()
  clock.advance(500)
  asked[0]!(null, admitted)
  for (const fn of read) fn()
  assert.deepEqual(outcomes, ['admitted'])
})

test('one timer, however many wait, and none when nobody does', () => {
  const { asked, ask, pass, clock } = setUp()
  for (let i = 0; i < 100; i++) ask()
  assert.equal(clock.timers, 1)
  for (const done of asked) done(null, admitted)
  pass(50)
  assert.equal(clock.timers, 0)
})

test('three failures in a row: not asked for a second, then by one request; told once each way', () => {
  const { asked, outcomes, changes, ask, pass, guard } = setUp()
  for (let i = 0; i < 3; i++) {
    assert.equal(ask(), 'asked')
    asked.at(-1)!(new Error('READONLY'))
  }
  assert.deepEqual(outcomes, Array(3).fill('unavailable'))
  assert.deepEqual(changes, [[false, 'READONLY']])
  assert.equal(ask(), 'unavailable')
  pass(999)
  assert.equal(ask(), 'unavailable')
  pass(1)
  assert.equal(ask(), 'asked')
  assert.equal(ask(), 'unavailable', 'one probe')
  asked.at(-1)!(new Error('READONLY'))
  assert.equal(ask(), 'unavailable')
  pass(1000)
  assert.equal(ask(), 'asked')
  asked.at(-1)!(null, admitted)
  assert.equal(ask(), 'asked')
  assert.deepEqual(changes, [[false, 'READONLY'], [true, undefined]])
  assert.deepEqual(guard.stats, { up: true, asked: 6, failed: 4, timedOut: 0, skipped: 4, known: 0 })
})

test('failures between successes do not give the store up', () => {
  const { asked, changes, ask } = setUp()
  for (let i = 0; i < 10; i++) {
    ask()
    asked.at(-1)!(i % 3 === 2 ? null : new Error('once'), i % 3 === 2 ? admitted : undefined)
  }
  assert.deepEqual(changes, [])
})

test('a store that throws, be it nothing at all, has failed', () => {
  const { counter, claim } = setUp()
  for (const thrown of [new Error('broken'), undefined, null]) {
    const guard = new Guard({ storeTimeout: 50, instances: 1, clock: new FakeClock(), afterReading: () => {}, changed: () => {} })
    const broken = new GuardedCounter(guard, { take () { throw thrown } }, counter)
    let outcome
    broken.later(claim, verdict => { outcome = verdict.outcome })
    assert.equal(outcome, 'unavailable')
    assert.equal(guard.stats.failed, 1)
  }
})

test('local: this server\'s part of the quota, counted here', () => {
  const { asked, outcomes, ask } = setUp('local', 2)
  for (let i = 0; i < 3; i++) {
    ask()
    asked.at(-1)!(new Error('down'))
  }
  assert.deepEqual(outcomes, ['admitted', 'admitted', 'refused'])
  assert.equal(ask(), 'refused')
})

test('open admits uncounted', () => {
  const { asked, outcomes, ask } = setUp('open')
  for (let i = 0; i < 3; i++) {
    ask()
    asked.at(-1)!(new Error('down'))
  }
  assert.deepEqual([...outcomes, ask()], Array(4).fill('uncounted'))
})

test('what a store cannot do is said, and is no failure of it', async () => {
  const { counter, claim, guard } = setUp()
  await assert.rejects(counter.peek(claim), /has no `read`/)
  await assert.rejects(counter.add(claim, 1), /neither charge nor refund/)
  await assert.rejects(counter.refund(claim), /neither charge nor refund/)
  await assert.rejects(counter.reset(claim), /cannot be reset/)
  assert.equal(guard.stats.asked, 0)
})
