import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Connection, type Cut } from '../../plugins/server-defaults/connection.ts'

const limits = { minBodyRate: { bytesPerSecond: 240, grace: 5_000 }, writeStallTimeout: 60_000, handshakeTimeout: 20_000 }

class FakeWire {
  bytesRead = 0
  flushed = 0
  waiting = false
  reading = true
  upgraded = false
  cuts: Cut[] = []
  cut (why: Cut): void { this.cuts.push(why) }
}

test('a TLS handshake has its time, and one that is done has passed', () => {
  for (const [done, at, cuts] of [[false, 19_999, []], [false, 20_000, ['handshake']], [true, 3_600_000, []]] as const) {
    const wire = new FakeWire()
    const connection = new Connection(wire, limits, 0, true)
    if (done) connection.secured()
    connection.look(at)
    connection.look(at)
    assert.deepEqual(wire.cuts, cuts)
  }
})

test('a handler may take its time on an idle socket', () => {
  const wire = new FakeWire()
  const connection = new Connection(wire, limits, 0, false)
  for (let s = 0; s <= 3_600; s += 5) connection.look(s * 1_000)
  assert.deepEqual(wire.cuts, [])
})

test('a reply that nobody reads is cut once, and an upgraded connection never', () => {
  for (const upgraded of [false, true]) {
    const wire = Object.assign(new FakeWire(), { waiting: true, upgraded })
    const connection = new Connection(wire, limits, 0, false)
    for (let s = 0; s <= 200; s += 5) connection.look(s * 1_000)
    assert.deepEqual(wire.cuts, upgraded ? [] : ['write_stall'])
  }
})

test('a body is judged until it is in, and counts what was there when it began', () => {
  const body = { complete: false, destroyed: false }
  const slow = new FakeWire()
  const connection = new Connection(slow, limits, 0, false)
  connection.expectBody(body, 0, 0)
  connection.look(5_000)
  assert.deepEqual(slow.cuts, [])
  connection.look(5_001)
  assert.deepEqual(slow.cuts, ['slow_body'])

  const begun = Object.assign(new FakeWire(), { bytesRead: 2_400 })
  const other = new Connection(begun, limits, 0, false)
  other.expectBody(body, 2_400, 0)
  other.look(10_000)
  body.complete = true
  other.look(100_000)
  assert.deepEqual(begun.cuts, [])
})
