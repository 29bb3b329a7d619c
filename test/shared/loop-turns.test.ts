import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gate } from '../../plugins/shared/gate/gate.ts'
import { AdaptiveLimit } from '../../plugins/concurrency/adaptive-limit.ts'
import { FixedLimit, type Limit } from '../../plugins/shared/gate/limit.ts'
import { LoopTurns } from '../../plugins/shared/gate/loop-turns.ts'
import { Waiter, type Priority, type ShedReason } from '../../plugins/shared/gate/waiter.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** A claim whose handler computes for `ms`, as a synchronous one does. */
class Claim extends Waiter {
  patience = Infinity
  readonly name: string
  readonly work: () => void
  outcome: string | undefined

  constructor (name: string, priority: Priority, work: () => void) {
    super(priority)
    this.name = name
    this.work = work
  }

  override admitted () {
    this.outcome = 'ran'
    this.work()
  }

  override shed (reason: ShedReason) { this.outcome = reason }
}

function setUp (options: { maxQueue?: number, maxWait?: number, target?: number, limit?: number | Limit, maxPerKey?: number, rate?: { perSecond: number, burst: number } } = {}) {
  const clock = new FakeClock()
  const log: string[] = []
  let immediates: Array<() => void> = []
  const loop = new LoopTurns(clock.now, callback => { immediates.push(callback) })
  const makeGate = () => new Gate({ limit: typeof options.limit === 'object' ? options.limit : new FixedLimit(options.limit ?? 1000), maxQueue: options.maxQueue ?? 1000, maxWait: options.maxWait ?? 500, target: options.target ?? Infinity, orphanTimeout: 1000, maxPerKey: options.maxPerKey, rate: options.rate }, clock, loop)
  const gate = makeGate()

  /** Comes to a gate and, if it may run, computes at once. */
  function come (name: string, { ms = 2, priority = 1 as Priority, at = gate, key = undefined as string | undefined } = {}): string {
    const claim = new Claim(name, priority, () => {
      clock.advance(ms)
      log.push(name)
      at.leave(claim)
    })
    claim.key = key
    const outcome = at.enter(claim)
    if (outcome === 'RUN') claim.admitted()
    return outcome
  }

  return {
    clock,
    gate,
    makeGate,
    loop,
    log,
    come,
    pending: () => immediates.length,
    /** The end of an iteration of the event loop: its immediates, not those that they ask for. */
    iterate (): void {
      const now = immediates
      immediates = []
      for (const immediate of now) immediate()
    }
  }
}

test('while a turn is short everybody runs at once, and the loop is left alone', () => {
  const { come, iterate, pending, clock } = setUp()
  for (let i = 0; i < 5; i++) assert.equal(come(`${i}`), 'RUN')
  assert.equal(pending(), 1, 'one look an iteration, not a request')
  iterate()
  assert.equal(pending(), 1, 'somebody came: one more, to see whether that was all')
  iterate()
  assert.equal(pending(), 0, 'caught up')
  clock.advance(1)
  come('soon after')
  assert.equal(pending(), 0, 'not timed again so soon')
  clock.advance(5)
  come('later')
  assert.equal(pending(), 1)
})

test('behind 10 ms of one turn newcomers wait, and are handed out 10 ms at a time behind the intake', () => {
  const { come, iterate, log, gate } = setUp()
  for (let i = 0; i < 20; i++) come(`${i}`)
  assert.equal(log.length, 6, '6 × 2 ms is the first sum past 10 ms')
  assert.equal(gate.stats().queued, 14)
  iterate()
  assert.equal(log.length, 6, 'this iteration brought some: the next may bring more')
  iterate()
  iterate()
  assert.equal(log.length, 12, 'the intake is over: another 10 ms')
  iterate()
  iterate()
  iterate()
  assert.equal(log.length, 20)
  assert.deepEqual(log, Array.from({ length: 20 }, (_, i) => `${i}`), 'first come, first served')
  assert.equal(gate.stats().inflight, 0)
})

test('a turn is as many iterations as bring somebody: new connections come one at a time', () => {
  const { come, iterate, log, gate, clock } = setUp()
  for (let i = 0; i < 30; i++) {
    come(`${i}`)
    clock.advance(0.1)
    iterate()
  }
  assert.ok(log.length < 15, `${log.length} of 30 ran before the others were let in`)
  assert.equal(gate.stats().queued, 30 - log.length)
})

test('a loop that is busy with short iterations keeps nobody waiting, and is timed only now and then', () => {
  const { come, iterate, gate, pending, clock } = setUp()
  let looks = 0
  for (let i = 0; i < 1000; i++) {
    assert.equal(come(`${i}`, { ms: 0.3 }), 'RUN')
    clock.advance(0.2)
    looks += pending()
    iterate()
  }
  assert.equal(gate.stats().admitted, 1000)
  assert.ok(looks < 120, `${looks} looks in 500 ms`)
})

test('an intake that does not end is a burst for 100 ms, then it is interrupted each 20 ms, so that somebody is served', () => {
  const { come, iterate, log, clock } = setUp()
  function flood (ms: number) {
    for (const end = clock.now() + ms; clock.now() < end;) {
      come('one')
      clock.advance(1)
      iterate()
    }
  }
  flood(100)
  assert.ok(log.length <= 6, `${log.length} ran before the burst was taken in`)
  flood(300)
  assert.ok(log.length > 40, `${log.length} ran in 400 ms of intake`)
})

test('gates take turns at the loop, and higher priorities go first within one', () => {
  const { come, iterate, log, makeGate } = setUp()
  const other = makeGate()
  for (let i = 0; i < 6; i++) come('first')
  for (let i = 0; i < 4; i++) come('low', { priority: 2 })
  come('critical', { priority: 0 })
  for (let i = 0; i < 4; i++) come('other', { at: other })
  iterate()
  iterate()
  iterate()
  assert.deepEqual(log.slice(6), ['critical', 'other', 'low', 'other', 'low', 'other'])
})

test('a burst that waits for the loop alone does not fill the room; a queue that stands does', () => {
  const { come, iterate, log, gate } = setUp({ maxQueue: 3 })
  for (let i = 0; i < 20; i++) assert.notEqual(come(`${i}`), 'queue_full')
  assert.equal(log.length, 17, 'who cannot wait runs')
  assert.equal(gate.stats().queued, 3)
  for (let turn = 0; turn < 3; turn++) {
    iterate()
    for (let i = 0; i < 30; i++) come('more', { priority: 2 })
  }
  assert.ok(gate.stats().shed.loop_busy > 0)
  assert.equal(come('low', { priority: 2 }), 'loop_busy')
  assert.equal(come('critical', { priority: 0 }), 'WAIT', 'in the place of one that matters less')
})

test('a gate without a room runs what comes in a burst, and sheds while the loop stays behind', () => {
  const { come, iterate, log, clock } = setUp({ maxQueue: 0 })
  for (let i = 0; i < 20; i++) assert.equal(come(`${i}`), 'RUN')
  assert.equal(log.length, 20)
  clock.advance(101)
  assert.equal(come('late'), 'loop_busy')
  iterate()
  iterate()
  assert.equal(come('behind that'), 'RUN')
})

test('shares a key bind while slots are short or the loop stays behind, not in a burst', () => {
  const { come, clock } = setUp({ maxPerKey: 2 })
  for (let i = 0; i < 6; i++) assert.equal(come(`${i}`, { key: 'one' }), 'RUN')
  for (let i = 0; i < 6; i++) assert.equal(come(`${i}`, { key: 'one' }), 'WAIT')
  clock.advance(101)
  assert.equal(come('more', { key: 'one' }), 'key_share')
  assert.equal(come('another', { key: 'two' }), 'WAIT')
})

test('who waits for a token does not keep the loop turning', () => {
  const { come, iterate, gate, pending, clock, log } = setUp({ rate: { perSecond: 100, burst: 1 } })
  come('first', { ms: 11 })
  come('second', { ms: 11 })
  for (let i = 0; i < 5; i++) come('more')
  for (let i = 0; i < 6; i++) iterate()
  assert.equal(pending(), 0, 'the timer of the tokens wakes it')
  assert.equal(gate.stats().queued, 7 - log.length)
  for (let i = 0; i < 60; i++) {
    clock.advance(10)
    iterate()
  }
  assert.equal(log.length, 7)
  assert.equal(gate.stats().queued, 0)
})

test('who leaves or is shed while it waits for the loop gets no turn', () => {
  const { come, iterate, gate, log, clock } = setUp({ maxWait: 30 })
  for (let i = 0; i < 6; i++) come(`${i}`)
  const waiter = new Claim('gone', 1, () => log.push('gone'))
  assert.equal(gate.enter(waiter), 'WAIT')
  gate.leave(waiter)
  come('in vain')
  clock.advance(31)
  for (let i = 0; i < 4; i++) iterate()
  assert.deepEqual(log, ['0', '1', '2', '3', '4', '5'])
  const { inflight, queued, shed, gone } = gate.stats()
  assert.deepEqual([inflight, queued, shed.queue_timeout, gone], [0, 0, 1, 1])
})

test('slots that come free while the loop is behind wait for a turn as well', () => {
  const { come, iterate, gate, log } = setUp({ limit: 1 })
  const holder = new Claim('holder', 1, () => {})
  gate.enter(holder)
  for (let i = 0; i < 3; i++) assert.equal(come(`${i}`, { ms: 11 }), 'WAIT')
  gate.leave(holder)
  assert.deepEqual(log, ['0'], 'in the same tick')
  for (let i = 0; i < 3; i++) iterate()
  assert.deepEqual(log, ['0', '1'])
  for (let i = 0; i < 3; i++) iterate()
  assert.deepEqual(log, ['0', '1', '2'])
})

test('a burst that the loop handed out up to a limit that is looked for is let in by doublings, although nobody else comes', () => {
  const { gate, clock, iterate } = setUp({ limit: new AdaptiveLimit({ min: 1, max: 1000, maxWait: 500 }) })
  const claims = Array.from({ length: 60 }, (_, at) => new Claim(`${at}`, 1, () => {}))
  gate.enter(new Claim('first', 1, () => {}))
  clock.advance(50)
  for (const claim of claims) assert.equal(gate.enter(claim), 'WAIT', 'the turn is long: it waits for the loop')
  for (let turn = 0; turn < 4; turn++) iterate()
  assert.equal(gate.stats().inflight, 32)
  clock.advance(100)
  for (let turn = 0; turn < 4; turn++) iterate()
  assert.deepEqual(claims.map(({ outcome }) => outcome), claims.map(() => 'ran'))
})

test('lag: what the loop may have taken to hear of an end, since the intake before the last', () => {
  const { come, iterate, loop, clock } = setUp()
  assert.equal(loop.lag(0, clock.now()), 0, 'while the loop keeps up nothing waits for it')
  come('first', { ms: 8 })
  const started = clock.now()
  assert.equal(loop.lag(started, clock.now()), 0, 'it started in this iteration')
  clock.advance(1)
  iterate()
  const firstLook = clock.now()
  come('second', { ms: 7 })
  assert.equal(loop.lag(started, clock.now()), 16, 'it may have ended right behind the intake in which the turn began')
  iterate()
  come('third', { ms: 5 })
  assert.equal(loop.lag(started, clock.now()), clock.now() - firstLook)
  assert.equal(loop.lag(clock.now(), clock.now()), 0)
  for (let i = 0; i < 3; i++) iterate()
  assert.equal(loop.lag(started, clock.now()), 0, 'it has caught up')
})
