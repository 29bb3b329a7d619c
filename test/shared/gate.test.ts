import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gate, type GateLimits } from '../../plugins/shared/gate/gate.ts'
import { FixedLimit, type Claim as Ended, type Ending, type Limit } from '../../plugins/shared/gate/limit.ts'
import { runInGate } from '../../plugins/shared/gate/run-in-gate.ts'
import { Waiter, type Priority, type ShedReason } from '../../plugins/shared/gate/waiter.ts'
import { FakeClock } from '../support/fake-clock.ts'

const defaults = { limit: 2, maxQueue: 2, maxWait: 500, target: Infinity, orphanTimeout: 30_000 }

class Claim extends Waiter {
  patience = Infinity
  readonly name: string
  readonly #log: string[]

  constructor (name: string, log: string[] = [], priority: Priority = 1) {
    super(priority)
    this.name = name
    this.#log = log
  }

  override admitted () { this.#log.push(`${this.name} admitted`) }
  override shed (reason: ShedReason) { this.#log.push(`${this.name} ${reason}`) }
}

function setUp (options: Partial<Omit<GateLimits, 'limit'> & { limit: number }> = {}) {
  const clock = new FakeClock()
  return { clock, log: [] as string[], gate: new Gate({ ...defaults, ...options, limit: new FixedLimit(options.limit ?? defaults.limit) }, clock) }
}

test('admits up to the limit, lets wait up to maxQueue, sheds the rest', () => {
  const { gate } = setUp()
  const outcomes = ['a', 'b', 'c', 'd', 'e'].map(name => gate.enter(new Claim(name)))
  assert.deepEqual(outcomes, ['RUN', 'RUN', 'WAIT', 'WAIT', 'queue_full'])
  const { inflight, queued, shed } = gate.stats()
  assert.deepEqual({ inflight, queued, full: shed.queue_full }, { inflight: 2, queued: 2, full: 1 })
})

test('hands a slot to the oldest waiter in the same tick, and never to a newcomer', () => {
  const { gate, log } = setUp({ limit: 1 })
  const a = new Claim('a', log)
  const b = new Claim('b', log)
  const c = new Claim('c', log)
  gate.enter(a); gate.enter(b); gate.enter(c)
  gate.leave(a)
  assert.deepEqual(log, ['b admitted'])
  assert.equal(gate.enter(new Claim('d', log)), 'WAIT')
})

test('sheds a waiter at maxWait, not a millisecond before', () => {
  const { gate, clock, log } = setUp({ limit: 1 })
  gate.enter(new Claim('a', log))
  gate.enter(new Claim('b', log))
  clock.advance(499)
  assert.deepEqual(log, [])
  clock.advance(1)
  assert.deepEqual(log, ['b queue_timeout'])
  assert.equal(gate.stats().queued, 0)
})

test('a full room that is over its wait is cleared in steps, so that the loop goes on with other things', () => {
  const { gate, clock, log } = setUp({ limit: 1, maxQueue: 1000 })
  const running = new Claim('running', log)
  gate.enter(running)
  for (let i = 0; i < 200; i++) gate.enter(new Claim(`${i}`, log))
  clock.advance(500)
  assert.equal(log.length, 64)
  assert.equal(gate.stats().queued, 136)
  clock.advance(1)
  assert.equal(log.length, 128)
  clock.advance(2)
  assert.equal(log.length, 200)
  assert.ok(log.every(line => line.endsWith('queue_timeout')))
  gate.leave(running)
  assert.equal(clock.timers, 0)
})

test('one timer serves every waiter, each at its own time', () => {
  const { gate, clock, log } = setUp({ limit: 1, maxQueue: 10 })
  gate.enter(new Claim('a', log))
  for (const name of ['b', 'c', 'd']) {
    gate.enter(new Claim(name, log))
    assert.equal(clock.timers, 1)
    clock.advance(100)
  }
  clock.advance(200)
  assert.deepEqual(log, ['b queue_timeout'])
  clock.advance(100)
  assert.deepEqual(log, ['b queue_timeout', 'c queue_timeout'])
  clock.advance(100)
  assert.deepEqual(log, ['b queue_timeout', 'c queue_timeout', 'd queue_timeout'])
  assert.equal(clock.timers, 0)
})

test('a waiter is shed in time although the timer was set for an orphan far later', () => {
  const { gate, clock, log } = setUp({ limit: 1 })
  const a = new Claim('a', log)
  gate.enter(a)
  gate.orphan(a)
  gate.enter(new Claim('b', log))
  clock.advance(500)
  assert.deepEqual(log, ['b queue_timeout'])
})

test('a waiter that leaves gives its place back and is not admitted', () => {
  const { gate, log } = setUp({ limit: 1, maxQueue: 1 })
  const a = new Claim('a', log)
  const b = new Claim('b', log)
  gate.enter(a); gate.enter(b)
  gate.leave(b)
  assert.equal(b.state, 'GONE')
  assert.equal(gate.enter(new Claim('c', log)), 'WAIT')
  gate.leave(a)
  assert.deepEqual(log, ['c admitted'])
})

test('leaving twice releases once', () => {
  const { gate } = setUp()
  const a = new Claim('a')
  gate.enter(a)
  gate.leave(a)
  gate.leave(a)
  assert.equal(gate.stats().inflight, 0)
})

test('an orphan holds its slot until it leaves', () => {
  const { gate, log } = setUp({ limit: 1 })
  const a = new Claim('a', log)
  gate.enter(a)
  gate.orphan(a)
  assert.deepEqual([gate.stats().inflight, gate.stats().orphans], [1, 1])
  assert.equal(gate.enter(new Claim('b', log)), 'WAIT')
  gate.leave(a)
  assert.deepEqual(log, ['b admitted'])
  assert.equal(gate.stats().orphans, 0)
})

test('the slot of an orphan is taken back at orphanTimeout, once', () => {
  const { gate, clock, log } = setUp({ limit: 1, maxWait: 100_000 })
  const a = new Claim('a', log)
  gate.enter(a)
  gate.orphan(a)
  gate.enter(new Claim('b', log))
  clock.advance(29_999)
  assert.deepEqual(log, [])
  clock.advance(1)
  assert.deepEqual(log, ['b admitted'])
  gate.leave(a)
  assert.deepEqual([gate.stats().inflight, gate.stats().orphansTimedOut], [1, 1])
})

test('only one who runs can become an orphan', () => {
  const { gate } = setUp({ limit: 1 })
  const a = new Claim('a')
  const b = new Claim('b')
  gate.enter(a); gate.enter(b)
  gate.orphan(b)
  assert.equal(b.state, 'WAIT')
  gate.leave(a)
  gate.orphan(a)
  assert.equal(gate.stats().orphans, 0)
})

test('higher priorities are admitted first, and evict the oldest of the lowest when the room is full', () => {
  const { gate, log } = setUp({ limit: 1, maxQueue: 2 })
  const running = new Claim('running', log)
  gate.enter(running)
  gate.enter(new Claim('low 1', log, 2))
  gate.enter(new Claim('low 2', log, 2))
  assert.equal(gate.enter(new Claim('normal', log, 1)), 'WAIT')
  assert.deepEqual(log, ['low 1 evicted'])
  assert.equal(gate.enter(new Claim('low 3', log, 2)), 'queue_full')
  const critical = new Claim('critical', log, 0)
  gate.enter(critical)
  gate.leave(running)
  assert.deepEqual(log, ['low 1 evicted', 'low 2 evicted', 'critical admitted'])
  gate.leave(critical)
  assert.equal(log.at(-1), 'normal admitted')
})

test('whoever is evicted may raise the limit, or come back as other work: the newcomer runs, and the room keeps its bound', () => {
  const { gate, log } = setUp({ limit: 1, maxQueue: 1 })
  class Raising extends Claim {
    override shed (reason: ShedReason) {
      super.shed(reason)
      gate.tune(new FixedLimit(2))
    }
  }
  gate.enter(new Claim('running', log))
  gate.enter(new Raising('raising', log, 2))
  assert.equal(gate.enter(new Claim('critical', log, 0)), 'RUN')

  class Returning extends Claim {
    override shed (reason: ShedReason) {
      super.shed(reason)
      gate.enter(new Claim('returned', log, 2))
    }
  }
  gate.enter(new Returning('returning', log, 2))
  assert.equal(gate.enter(new Claim('urgent', log, 0)), 'WAIT')
  assert.equal(gate.stats().queued, 1)
  assert.deepEqual(log, ['raising evicted', 'returning evicted', 'returned evicted'])
})

test('a predicted wait is behind those who go first, not behind those whom a higher priority passes', () => {
  const { gate, clock, log } = setUp({ limit: 1, maxQueue: 100, maxWait: 5_000 })
  function urgent (priority: Priority): Claim {
    const claim = new Claim(`urgent ${priority}`, log, priority)
    claim.patience = 300
    return claim
  }
  const served = new Claim('served', log)
  gate.enter(served)
  clock.advance(1_600)
  gate.leave(served)
  assert.equal(gate.stats().service, 100)
  const running = new Claim('running', log)
  gate.enter(running)
  for (let i = 0; i < 10; i++) gate.enter(new Claim('low', log, 2))
  assert.equal(gate.enter(urgent(2)), 'predicted_wait')
  assert.equal(gate.enter(urgent(1)), 'WAIT')
  assert.equal(gate.enter(urgent(0)), 'WAIT')
  assert.equal(gate.enter(urgent(1)), 'WAIT')
  assert.equal(gate.enter(urgent(1)), 'predicted_wait')
  gate.leave(running)
  assert.deepEqual(log, ['urgent 0 admitted'])
})

test('a wait for a token is predicted behind those who go first; who is passed may wait longer than was predicted, and is told so at maxWait', () => {
  const { gate, clock, log } = setUp({ limit: 100, maxQueue: 100, maxWait: 550, rate: { perSecond: 10, burst: 1 } })
  const enter = (name: string, priority: Priority) => gate.enter(new Claim(name, log, priority))
  const outcomes = Array.from({ length: 7 }, (_, i) => enter(`low ${i}`, 2))
  assert.deepEqual(outcomes, ['RUN', 'WAIT', 'WAIT', 'WAIT', 'WAIT', 'WAIT', 'predicted_wait'])
  assert.equal(enter('critical', 0), 'WAIT')
  clock.advance(550)
  assert.deepEqual(log, ['critical admitted', 'low 1 admitted', 'low 2 admitted', 'low 3 admitted', 'low 4 admitted', 'low 5 queue_timeout'])
})

test('a lower limit cancels nothing, a higher one admits at once', () => {
  const { gate, log } = setUp({ limit: 2 })
  const a = new Claim('a', log)
  const b = new Claim('b', log)
  gate.enter(a); gate.enter(b); gate.enter(new Claim('c', log))
  gate.tune(new FixedLimit(1))
  gate.leave(a)
  assert.deepEqual(log, [])
  assert.equal(gate.stats().inflight, 1)
  gate.tune(new FixedLimit(2))
  assert.deepEqual(log, ['c admitted'])
})

test('a draining gate sheds newcomers, serves who waits, and resolves at rest', async () => {
  const { gate, log } = setUp({ limit: 1 })
  const a = new Claim('a', log)
  const b = new Claim('b', log)
  gate.enter(a); gate.enter(b)
  let drained = false
  const drain = gate.drain().then(() => { drained = true })
  assert.equal(gate.stats().state, 'DRAINING')
  assert.equal(gate.enter(new Claim('c', log)), 'draining')
  gate.leave(a)
  assert.deepEqual(log, ['b admitted'])
  await Promise.resolve()
  assert.equal(drained, false)
  gate.leave(b)
  await drain
  assert.equal(gate.stats().state, 'CLOSED')
  gate.reopen()
  assert.equal(gate.enter(new Claim('d', log)), 'RUN')
})

test('a gate without a waiting room sheds at the limit', () => {
  const { gate } = setUp({ limit: 1, maxQueue: 0 })
  gate.enter(new Claim('a'))
  assert.equal(gate.enter(new Claim('b')), 'queue_full')
})

/** Writes down what a gate tells it. */
class Listening implements Limit {
  readonly adaptive = false
  readonly searching = false
  due () { return Infinity }
  waited () {}
  current = 2
  readonly told: object[] = []

  ended ({ service, began, kind, started }: Ended, ending: Ending, inflight: number, queued: number, now: number) {
    this.told.push({ service, began, inflight, queued, kind, ending, held: now - started })
  }
}

test('the limit hears of every claim that ran, once, before its slot is handed on', () => {
  const clock = new FakeClock()
  const limit = new Listening()
  const gate = new Gate({ ...defaults, limit, orphanTimeout: 100 }, clock)
  const [served, streamed, waiting, lost, late] = ['served', 'streamed', 'waiting', 'lost', 'late'].map(name => new Claim(name)) as [Claim, Claim, Claim, Claim, Claim]
  streamed.kind = 7
  for (const claim of [served, streamed, waiting]) gate.enter(claim)
  clock.advance(10)
  gate.leave(served)
  gate.leave(served)
  gate.worked(streamed, clock.now())
  clock.advance(20)
  gate.leave(streamed)
  gate.enter(lost)
  clock.advance(5)
  gate.leave(waiting, 'untelling')
  gate.orphan(lost)
  clock.advance(100)
  gate.leave(lost)
  gate.enter(late)
  gate.orphan(late)
  clock.advance(15)
  gate.leave(late)
  assert.deepEqual(limit.told, [
    { service: 10, began: 1, inflight: 2, queued: 1, kind: 0, ending: 'served', held: 10 },
    { service: 10, began: 2, inflight: 2, queued: 0, kind: 7, ending: 'served', held: 30 },
    { service: 25, began: 2, inflight: 2, queued: 0, kind: 0, ending: 'untelling', held: 25 },
    // Its slot was taken back, its handler never ended: nobody knows how long it takes.
    { service: 105, began: 2, inflight: 1, queued: 0, kind: 0, ending: 'untelling', held: 105 },
    { service: 15, began: 1, inflight: 1, queued: 0, kind: 0, ending: 'orphaned', held: 15 }
  ])
})

test('run() tells the limit of a task that fails that its time says nothing', async () => {
  const clock = new FakeClock()
  const limit = new Listening()
  const gate = new Gate({ ...defaults, limit }, clock)
  const takes = (ms: number, result: () => string) => runInGate(gate, async () => { clock.advance(ms); return result() }, 1)
  await assert.rejects(takes(10, () => { throw new Error('failed') }), /failed/)
  assert.equal(gate.stats().service, 0)
  assert.equal(await takes(32, () => 'done'), 'done')
  assert.equal(gate.stats().service, 2)
  assert.deepEqual(limit.told.map(told => (told as { ending: string }).ending), ['untelling', 'served'])
})

test('work that was done before its claim was admitted, as in a dry run, is not counted from the beginning of time', () => {
  const clock = new FakeClock()
  const limit = new Listening()
  limit.current = 1
  const gate = new Gate({ ...defaults, limit }, clock)
  const [running, waiting] = [new Claim('running'), new Claim('waiting')]
  clock.advance(10_000)
  gate.enter(running)
  gate.enter(waiting)
  gate.worked(waiting, clock.now())
  gate.leave(running)
  clock.advance(5)
  gate.leave(waiting)
  assert.deepEqual(limit.told.map(told => (told as { service: number }).service), [0, 5])
})

test('who waits for a token is no queue to the limit', () => {
  const clock = new FakeClock()
  const limit = new Listening()
  const gate = new Gate({ ...defaults, limit, rate: { perSecond: 10, burst: 1 } }, clock)
  const running = new Claim('running')
  gate.enter(running)
  assert.equal(gate.enter(new Claim('waiting')), 'WAIT')
  gate.leave(running)
  assert.deepEqual(limit.told.map(told => (told as { queued: number }).queued), [0])
})
