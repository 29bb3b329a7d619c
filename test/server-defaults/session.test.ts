import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Session } from '../../plugins/server-defaults/session.ts'

const limits = {
  minBodyRate: { bytesPerSecond: 240, grace: 5_000 }, writeStallTimeout: 60_000, headersTimeout: 20_000, keepAliveTimeout: 72_000, streamResetBurst: 10, streamResetRate: 5
}

class FakeSession {
  flushed = 0
  events: string[] = []
  close (): void { this.events.push('close') }
  cut (why: string): void { this.events.push(why) }
}

class FakeStream {
  bytesRead = 0
  reading = true
  waiting = false
  incoming: boolean
  refused = false
  abandoned = false
  dropped = false
  constructor (incoming = false) { this.incoming = incoming }
  refuse (): void { this.refused = true }
  drop (): void { this.dropped = true }
}

test('a session without a stream has the time of a header, later that of an idle connection', () => {
  const wire = new FakeSession()
  const session = new Session(wire, limits, 0)
  session.look(19_999)
  assert.deepEqual(wire.events, [])
  const stream = new FakeStream()
  session.open(stream, 20_000)
  session.look(500_000)
  session.closed(stream, 500_000)
  session.look(571_999)
  assert.deepEqual(wire.events, [])
  session.look(572_000)
  assert.deepEqual(wire.events, ['close'])
  const silent = new FakeSession()
  new Session(silent, limits, 0).look(20_000)
  assert.deepEqual(silent.events, ['close'])
})

test('a slow body ends its stream and no other', () => {
  const wire = new FakeSession()
  const session = new Session(wire, limits, 0)
  const [slow, fast, got] = [new FakeStream(true), new FakeStream(true), new FakeStream(false)]
  for (const stream of [slow, fast, got]) session.open(stream, 0)
  fast.bytesRead = 1_201
  session.look(5_001)
  assert.deepEqual([slow.refused, fast.refused, got.refused, wire.events], [true, false, false, []])
  fast.incoming = false
  session.look(60_000)
  assert.equal(fast.refused, false)
})

test('a stream that its client has left is dropped, and its reply waits for nobody', () => {
  const wire = new FakeSession()
  const session = new Session(wire, limits, 0)
  const [left, stays] = [Object.assign(new FakeStream(), { abandoned: true, waiting: true }), new FakeStream()]
  for (const stream of [left, stays]) session.open(stream, 0)
  for (const now of [0, 60_000]) session.look(now)
  assert.deepEqual([left.dropped, stays.dropped, wire.events], [true, false, []])
})

test('answered pings are no reading of a reply', () => {
  for (const [bytesEachLook, events] of [[4_096, []], [300, ['write_stall']]] as const) {
    const wire = new FakeSession()
    const session = new Session(wire, limits, 0)
    session.open(Object.assign(new FakeStream(), { waiting: true }), 0)
    for (let s = 5; s <= 70; s += 5) {
      wire.flushed += bytesEachLook
      session.look(s * 1_000)
    }
    assert.deepEqual(wire.events, events)
  }
})

test('resets have a budget that recovers', () => {
  const wire = new FakeSession()
  const session = new Session(wire, limits, 0)
  for (let i = 0; i < 10; i++) session.reset(0)
  session.reset(200)
  assert.deepEqual(wire.events, [])
  session.reset(399)
  assert.deepEqual(wire.events, ['stream_resets'])
  session.reset(400)
  assert.equal(wire.events.length, 1)
})
