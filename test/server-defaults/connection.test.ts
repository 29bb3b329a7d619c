import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Connection, type Cut } from '../../plugins/server-defaults/connection.ts'

const limits = { minBodyRate: { bytesPerSecond: 240, grace: 5_000 }, writeStallTimeout: 60_000, handshakeTimeout: 20_000, idleTimeout: 93_000 }

class FakeConnection extends Connection {
  limits = limits
  bytesRead = 0
  flushed = 0
  waiting = false
  reading = true
  upgraded = false
  idle = false
  cuts: Cut[] = []
  cut (why: Cut): void { this.cuts.push(why) }
  override shaken (): void { super.shaken() }
}

test('a TLS handshake has its time, and one that is done has passed', () => {
  for (const [done, at, cuts] of [[false, 19_999, []], [false, 20_000, ['handshake']], [true, 3_600_000, []]] as const) {
    const connection = new FakeConnection(0, true)
    if (done) connection.shaken()
    connection.look(at)
    connection.look(at)
    assert.deepEqual(connection.cuts, cuts)
  }
})

test('a handler may take its time on an idle socket', () => {
  const connection = new FakeConnection(0, false)
  for (let s = 0; s <= 3_600; s += 5) connection.look(s * 1_000)
  assert.deepEqual(connection.cuts, [])
})

test('a pause between requests has an end, whatever keeps the socket awake; a request begins it anew', () => {
  const connection = Object.assign(new FakeConnection(0, false), { idle: true })
  connection.look(92_999)
  connection.asked = true
  connection.look(93_000)
  connection.look(185_999)
  assert.deepEqual(connection.cuts, [])
  connection.look(186_000)
  assert.deepEqual(connection.cuts, ['idle'])
})

test('a reply that nobody reads is cut once, and an upgraded connection never', () => {
  for (const upgraded of [false, true]) {
    const connection = Object.assign(new FakeConnection(0, false), { waiting: true, upgraded })
    for (let s = 0; s <= 200; s += 5) connection.look(s * 1_000)
    assert.deepEqual(connection.cuts, upgraded ? [] : ['write_stall'])
  }
})

test('a body is judged until it is in, and counts what was there when it began', () => {
  const body = { complete: false, destroyed: false }
  const slow = new FakeConnection(0, false)
  slow.expectBody(body, 0, 0)
  slow.look(5_000)
  assert.deepEqual(slow.cuts, [])
  slow.look(5_001)
  assert.deepEqual(slow.cuts, ['slow_body'])

  const begun = Object.assign(new FakeConnection(0, false), { bytesRead: 2_400 })
  begun.expectBody(body, 2_400, 0)
  begun.look(10_000)
  body.complete = true
  begun.look(100_000)
  assert.deepEqual(begun.cuts, [])
})
