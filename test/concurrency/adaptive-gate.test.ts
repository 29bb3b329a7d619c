// A gate whose limit adapts, before a downstream that takes ten calls of 20 ms at a time, on a fake clock: the limit, the
// waiting room and its congestion rule together, at twice what the downstream can do.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AdaptiveLimit } from '../../plugins/concurrency/adaptive-limit.ts'
import { Gate } from '../../plugins/shared/gate/gate.ts'
import { Waiter } from '../../plugins/shared/gate/waiter.ts'
import { FakeClock } from '../support/fake-clock.ts'

const SLOTS = 10
const SERVICE = 20
const PATIENCE = 500

class Call extends Waiter {
  patience = Infinity
  readonly asked: number
  readonly #begin: (call: Call) => void

  constructor (now: number, begin: (call: Call) => void) {
    super(1)
    this.asked = now
    this.#begin = begin
  }

  override admitted () { this.#begin(this) }
  override shed () {}
}

/** Calls that were answered within their client's patience, in each second. */
function goodput (seconds: number, perMillisecond: number) {
  const clock = new FakeClock()
  const gate = new Gate({ limit: new AdaptiveLimit({ min: 1, max: 1000, maxWait: 500 }), maxQueue: 1000, maxWait: 500, target: 'service', orphanTimeout: 30_000 }, clock)
  const free = new Array<number>(SLOTS).fill(0)
  const good = new Array<number>(seconds).fill(0)
  let arrivals = 0

  function begin (call: Call): void {
    const slot = free.indexOf(Math.min(...free))
    free[slot] = Math.max(free[slot]!, clock.now()) + SERVICE
    const latency = free[slot]! - call.asked
    if (latency > PATIENCE) clock.setTimeout(() => gate.orphan(call), Math.max(0, call.asked + PATIENCE - clock.now()))
    clock.setTimeout(() => {
      if (latency <= PATIENCE) good[Math.floor(clock.now() / 1000)]!++
      gate.leave(call)
    }, free[slot]! - clock.now())
  }

  for (let ms = 0; ms < seconds * 1000 - 1; ms++) {
    for (arrivals += perMillisecond; arrivals >= 1; arrivals--) {
      const call = new Call(clock.now(), begin)
      if (gate.enter(call) === 'RUN') begin(call)
    }
    clock.advance(1)
  }
  return { good, stats: gate.stats() }
}

test('at twice the capacity of a downstream nearly all of it is answered in time, with no limit given', () => {
  const { good, stats } = goodput(5, 1)
  for (const second of good.slice(1)) assert.ok(second >= 450, `${good} of 500 a second`)
  assert.ok(stats.limit <= 40, `limit ${stats.limit}`)
})

test('500 calls of 5 s at once: none is shed, nor told that it would have to wait too long', () => {
  const clock = new FakeClock()
  const gate = new Gate({ limit: new AdaptiveLimit({ min: 1, max: 1000, maxWait: 500 }), maxQueue: 1000, maxWait: 500, target: 'service', orphanTimeout: 30_000 }, clock)
  function call (): Call {
    const call = new Call(clock.now(), call => clock.setTimeout(() => gate.leave(call), 5000))
    call.patience = 10_000
    if (gate.enter(call) === 'RUN') call.admitted()
    return call
  }
  for (let i = 0; i < 10; i++) call()
  clock.advance(6000)
  assert.equal(gate.stats().service > 1000, true)
  const calls = Array.from({ length: 500 }, call)
  clock.advance(400)
  assert.deepEqual([gate.stats().inflight, gate.stats().queued], [500, 0])
  clock.advance(6000)
  assert.ok(calls.every(({ state }) => state === 'DONE'))
})

test('below the capacity nothing is shed, and the limit stays where it was', () => {
  const { stats } = goodput(5, 0.4)
  assert.deepEqual(stats.shed, { queue_full: 0, queue_timeout: 0, predicted_wait: 0, evicted: 0, key_share: 0, loop_busy: 0, draining: 0, pressure: 0 })
  assert.equal(stats.limit, 32)
})
