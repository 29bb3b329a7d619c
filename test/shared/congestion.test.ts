import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Congestion } from '../../plugins/shared/gate/congestion.ts'
import { Gate } from '../../plugins/shared/gate/gate.ts'
import { FixedLimit } from '../../plugins/shared/gate/limit.ts'
import { Waiter, type ShedReason } from '../../plugins/shared/gate/waiter.ts'
import { FakeClock } from '../support/fake-clock.ts'

test('a burst is no congestion, a queue that stands for an interval is, and it ends with one short wait', () => {
  const congestion = new Congestion(20)
  congestion.admitted(0, 0)
  for (let now = 5; now < 105; now += 5) congestion.admitted(50, now)
  assert.equal(congestion.congested, false)
  congestion.admitted(50, 105)
  assert.equal(congestion.congested, true)
  congestion.admitted(20, 110)
  assert.equal(congestion.congested, false)
  for (let now = 115; now < 215; now += 5) congestion.admitted(50, now)
  assert.equal(congestion.congested, false, 'a new interval begins')
})

test('silence says nothing: an old interval does not make a new one congested', () => {
  const congestion = new Congestion(20)
  for (let now = 0; now < 100; now += 5) congestion.admitted(50, now)
  congestion.admitted(50, 10_000)
  assert.equal(congestion.congested, false)
})

class Claim extends Waiter {
  patience = Infinity
  readonly name: string
  readonly log: string[]
  constructor (name: string, log: string[]) {
    super(1)
    this.name = name
    this.log = log
  }

  override admitted () { this.log.push(`${this.name} admitted`) }
  override shed (reason: ShedReason) { this.log.push(`${this.name} ${reason}`) }
}

/** One slot of 10 ms service, offered one claim every 5 ms: a queue that stands. */
function overload (target: number, ms: number) {
  const clock = new FakeClock()
  const log: string[] = []
  const gate = new Gate({ limit: new FixedLimit(1), maxQueue: 1000, maxWait: 500, target, orphanTimeout: 1000 }, clock)
  const claims: Claim[] = []
  for (let now = 0; now < ms; now += 5) {
    if (now % 10 === 0) {
      for (const claim of claims) if (claim.state === 'RUN' && claim.started < now) gate.leave(claim)
    }
    const claim = new Claim(String(claims.length), log)
    claims.push(claim)
    gate.enter(claim)
    clock.advance(5)
  }
  return { gate, log }
}

test('a standing queue is served newest first, and who waited twice the target is shed', () => {
  const { gate, log } = overload(20, 1_000)
  assert.equal(gate.stats().congested, true)
  assert.ok(gate.stats().shed.queue_timeout > 50)
  assert.ok(gate.stats().queued <= 10, `${gate.stats().queued} still wait, though nobody may longer than 40 ms`)
  const served = log.filter(line => line.endsWith('admitted')).map(line => Number(line.split(' ')[0]))
  const last = served.slice(-10)
  assert.ok(last.every(name => name > 175), `of the 20 that came last, ten were served: ${last}`)
})

test('without a target the first to come is the first to be served, until maxWait', () => {
  const { gate, log } = overload(Infinity, 400)
  assert.equal(gate.stats().congested, false)
  const served = log.filter(line => line.endsWith('admitted')).map(line => Number(line.split(' ')[0]))
  assert.deepEqual(served, [...served].sort((a, b) => a - b))
  assert.equal(gate.stats().shed.queue_timeout, 0)
})
