import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Connections } from '../../plugins/lifecycle/connections.ts'

class FakeConnection {
  bytesRead = 0
  writableLength = 0
  writableEnded = false
  _httpMessage: unknown = null
  destroyed = false
  destroy () { this.destroyed = true }
  destroySoon () { this.writableEnded = true }
}

test('closing ends what is idle and lets the busy finish', () => {
  const connections = new Connections()
  const [silent, idle, busy, half] = [new FakeConnection(), new FakeConnection(), new FakeConnection(), new FakeConnection()]
  for (const connection of [silent, idle, busy, half]) connections.add(connection)
  idle.bytesRead = 100
  connections.begin(idle)
  connections.end(idle)
  busy.bytesRead = 100
  connections.begin(busy)
  half.bytesRead = 20
  connections.close()
  assert.deepEqual([silent, idle, busy, half].map(connection => connection.destroyed), [true, true, false, false])
  connections.end(busy)
  assert.equal(busy.destroyed, true)
  connections.destroy()
  assert.equal(half.destroyed, true)
})

test('a connection with pipelined requests is busy until the last has ended', () => {
  const connections = new Connections()
  const connection = new FakeConnection()
  connections.add(connection)
  connections.begin(connection)
  connections.begin(connection)
  connections.close()
  connections.end(connection)
  assert.equal(connection.destroyed, false)
  connections.end(connection)
  assert.equal(connection.destroyed, true)
})

test('of those whose requests nobody heard of the parser says that none is coming in, and their reply has to be out', () => {
  const connections = new Connections()
  const answered = () => Object.assign(new FakeConnection(), { bytesRead: 50 })
  const [half, idle, writing, unflushed, ending, busy, stranger] = [answered(), answered(), answered(), answered(), answered(), answered(), answered()]
  for (const connection of [half, idle, writing, unflushed, ending, busy]) connections.add(connection)
  writing._httpMessage = {}
  unflushed.writableLength = 1
  ending.writableEnded = true
  connections.begin(busy)
  const unasked = [idle, writing, unflushed, ending, busy, stranger]
  connections.close()
  connections.closeIdle(unasked)
  assert.deepEqual([half, ...unasked].map(({ destroyed }) => destroyed), [false, true, false, false, false, false, false])
  writing._httpMessage = null
  connections.closeIdle(unasked)
  assert.equal(writing.destroyed, true)
})

test('what is pipelined behind a reply that keeps its connection against its word ends with it', () => {
  const connections = new Connections()
  const [asked, behind] = [new FakeConnection(), new FakeConnection()]
  for (const connection of [asked, behind]) {
    connections.add(connection)
    connections.begin(connection)
    connections.mayEnd(connection)
  }
  assert.equal(connections.begin(behind), false)
  connections.end(behind)
  connections.end(asked)
  assert.deepEqual([behind.writableEnded, asked.writableEnded, connections.begin(asked)], [true, false, true])
})

test('one that lingers behind its last reply is not cut', () => {
  const connections = new Connections()
  const lingering = Object.assign(new FakeConnection(), { writableEnded: true })
  connections.add(lingering)
  connections.close()
  assert.equal(lingering.destroyed, false)
})

test('connections that nobody added are left alone', () => {
  const connections = new Connections()
  const stranger = new FakeConnection()
  connections.begin(stranger)
  connections.end(stranger)
  connections.close()
  connections.destroy()
  assert.equal(stranger.destroyed, false)
})

test('a reply may say that it is the last while no other is in flight, and nothing is begun behind it', () => {
  const connections = new Connections()
  const connection = new FakeConnection()
  connections.add(connection)
  assert.equal(connections.begin(connection), true)
  assert.equal(connections.begin(connection), true)
  assert.equal(connections.mayEnd(connection), false)
  connections.end(connection)
  assert.equal(connections.mayEnd(connection), true)
  assert.equal(connections.begin(connection), false)
})

test('what TLS runs on is ended at the deadline, and a handshake that ends too late at once', () => {
  const connections = new Connections()
  const [raw, secure] = [new FakeConnection(), new FakeConnection()]
  connections.addUnderlying(raw)
  connections.close()
  assert.equal(raw.destroyed, false)
  connections.add(secure)
  assert.equal(secure.destroyed, true)
  connections.destroy()
  assert.equal(raw.destroyed, true)
})
