// The formula of docs/server-defaults.md for how long a connection can hold a socket, against clients that are as slow as
// they like: whatever they do, they are ended by then, and not before their limit.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Connection, type ConnectionLimits, type Cut } from '../../plugins/server-defaults/connection.ts'
import { Session } from '../../plugins/server-defaults/session.ts'
import { Sweep } from '../../plugins/server-defaults/sweep.ts'
import { FakeClock } from '../support/fake-clock.ts'

const LIMITS = fc.record({
  i: fc.integer({ min: 1, max: 10_000 }),
  grace: fc.integer({ min: 1, max: 30_000 }),
  bytesPerSecond: fc.integer({ min: 1, max: 5_000 }),
  writeStallTimeout: fc.integer({ min: 1, max: 90_000 }),
  headersTimeout: fc.integer({ min: 1, max: 60_000 }),
  keepAliveTimeout: fc.integer({ min: 1, max: 90_000 }),
  /** When the connection comes, within an interval of the sweep. */
  phase: fc.nat(20_000)
})
type Limits = typeof LIMITS extends fc.Arbitrary<infer T> ? T : never

class Client extends Connection {
  readonly limits: ConnectionLimits
  bytesRead = 0
  flushed = 0
  waiting = false
  reading = true
  upgraded = false
  idle = false
  ended: number | undefined
  why: Cut | undefined
  readonly #clock: FakeClock

  constructor (clock: FakeClock, limits: Limits, secure: boolean) {
    super(clock.now(), secure)
    this.#clock = clock
    this.limits = { minBodyRate: limits, writeStallTimeout: limits.writeStallTimeout, handshakeTimeout: limits.headersTimeout, idleTimeout: limits.keepAliveTimeout + 1_000 + limits.headersTimeout }
  }

  cut (why: Cut): void {
    this.ended ??= this.#clock.now()
    this.why ??= why
  }
}

/** A clock and a sweep that runs already, so that newcomers come at any time of its interval. */
function sweeping ({ i, phase }: Limits): { clock: FakeClock, sweep: Sweep, connect: (limits: Limits, secure?: boolean) => Client } {
  const clock = new FakeClock()
  const sweep = new Sweep(i, clock, fn => fn())
  function connect (limits: Limits, secure = false): Client {
    const client = new Client(clock, limits, secure)
    sweep.add(client)
    return client
  }
  const other = connect({ i, grace: 1, bytesPerSecond: 1, writeStallTimeout: 1, headersTimeout: 1, keepAliveTimeout: 1, phase })
  other.upgraded = true
  clock.advance(phase)
  return { clock, sweep, connect }
}

const within = (value: number, low: number, high: number): void => assert.ok(value >= low && value <= high, `${value} is not in ${low}–${high}`)

test('a TLS handshake: headersTimeout + i', () => {
  fc.assert(fc.property(LIMITS, limits => {
    const { clock, connect } = sweeping(limits)
    const client = connect(limits, true)
    clock.advance(limits.headersTimeout + limits.i)
    assert.equal(client.why, 'handshake')
    within(client.ended! - client.since, limits.headersTimeout, limits.headersTimeout + limits.i)
  }))
})

test('a body of n bytes: max(grace, n / bytesPerSecond) + 2 i, however it is dripped', () => {
  const drips = fc.array(fc.record({ pause: fc.nat(30_000), bytes: fc.integer({ min: 1, max: 40_000 }) }), { maxLength: 30 })
  fc.assert(fc.property(LIMITS, drips, (limits, drips) => {
    const { clock, connect } = sweeping(limits)
    const client = connect(limits)
    const began = clock.now()
    client.expectBody({ complete: false, destroyed: false }, 0, began)
    for (const { pause, bytes } of drips) {
      clock.advance(pause)
      if (client.ended !== undefined) break
      client.bytesRead += bytes
    }
    const most = Math.max(limits.grace, client.bytesRead / limits.bytesPerSecond * 1_000) + 2 * limits.i
    clock.advance(Math.max(0, began + most - clock.now()))
    assert.equal(client.why, 'slow_body')
    within(client.ended! - began, limits.grace, most)
  }))
})

test('a body without another byte: max(grace, 60 s) + 2 i, however much came before', () => {
  fc.assert(fc.property(LIMITS, fc.integer({ min: 1, max: 1e9 }), (limits, bytes) => {
    const { clock, connect } = sweeping(limits)
    const client = connect(limits)
    const began = clock.now()
    client.expectBody({ complete: false, destroyed: false }, 0, began)
    client.bytesRead += bytes
    const most = Math.max(limits.grace, 60_000) + 2 * limits.i
    clock.advance(most)
    assert.equal(client.why, 'slow_body')
    within(client.ended! - began, limits.grace, most)
  }))
})

test('a reply of which nothing moves: writeStallTimeout + 2 i, from its last move', () => {
  fc.assert(fc.property(LIMITS, fc.array(fc.nat(20_000), { maxLength: 10 }), (limits, moves) => {
    const { clock, connect } = sweeping(limits)
    const client = connect(limits)
    client.waiting = true
    let last = clock.now()
    for (const pause of moves) {
      clock.advance(pause)
      if (client.ended !== undefined) break
      client.flushed++
      last = clock.now()
    }
    clock.advance(Math.max(0, last + limits.writeStallTimeout + 2 * limits.i - clock.now()))
    assert.equal(client.why, 'write_stall')
    within(client.ended! - last, limits.writeStallTimeout - 2 * limits.i, limits.writeStallTimeout + 2 * limits.i)
  }))
})

test('a pause between requests that blank lines keep up: keepAliveTimeout + 1 s + headersTimeout + 2 i', () => {
  fc.assert(fc.property(LIMITS, fc.array(fc.nat(60_000), { maxLength: 10 }), (limits, requests) => {
    const { clock, connect } = sweeping(limits)
    const client = connect(limits)
    client.idle = true
    let last = clock.now()
    for (const pause of requests) {
      clock.advance(pause)
      if (client.ended !== undefined) break
      client.asked = true
      last = clock.now()
    }
    const limit = limits.keepAliveTimeout + 1_000 + limits.headersTimeout
    clock.advance(Math.max(0, last + limit + 2 * limits.i - clock.now()))
    assert.equal(client.why, 'idle')
    within(client.ended! - last, limit - 1, limit + 2 * limits.i)
  }))
})

test('an HTTP/2 session without a stream: headersTimeout + 2 i, and keepAliveTimeout + 2 i behind its last', () => {
  fc.assert(fc.property(LIMITS, fc.boolean(), (limits, asked) => {
    const { clock, sweep } = sweeping(limits)
    const ends: number[] = []
    const session = new Session({ flushed: 0, close: () => ends.push(clock.now()), cut: () => {} }, { ...limits, minBodyRate: limits, streamResetBurst: 1, streamResetRate: 1 }, clock.now())
    sweep.add(session)
    if (asked) {
      const stream = { bytesRead: 0, reading: true, incoming: false, waiting: false, abandoned: false, drop () {}, refuse () {} }
      session.open(stream, clock.now())
      clock.advance(Math.min(1_000, limits.keepAliveTimeout))
      session.closed(stream, clock.now())
    }
    const began = clock.now()
    const limit = asked ? limits.keepAliveTimeout : limits.headersTimeout
    clock.advance(limit + 2 * limits.i)
    // The goodbye, and the end of whoever does not heed it.
    assert.ok(ends.length >= 2)
    within(ends[0]! - began, limit, limit + limits.i)
    within(ends[1]! - began, limit, limit + 2 * limits.i)
  }))
})
