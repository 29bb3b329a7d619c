// Connections: how many are open, how many requests each carried, and how long the first one waited to be served.
import { DURATION_BOUNDS, Histogram } from '../shared/histogram.ts'
import type { Instrument, Instruments } from '../shared/instruments.ts'

const REQUESTS_BOUNDS = [0, 1, 2, 5, 10, 50, 100, 1_000, 10_000]

const open: Instrument = { name: 'fastify.connections.open', type: 'gauge', help: 'Connections that are open' }
const opened: Instrument = { name: 'fastify.connections.opened', type: 'counter', help: 'Connections accepted' }
const dropped: Instrument = { name: 'fastify.connections.dropped', type: 'counter', help: 'Connections closed at once because there were too many, of all clients or of one address' }
const requests: Instrument = { name: 'fastify.connection.requests', type: 'histogram', help: 'Requests that a connection carried, counted at its end' }
const startDelay: Instrument = { name: 'fastify.request.start_delay', type: 'histogram', unit: 's', help: 'Time from accept to serve: since the header of a proxy, or since the connection of a first request' }

const kAccepted = Symbol('fastify-surge.accepted')
const kRequests = Symbol('fastify-surge.carried')

/** A socket, which carries its own figures; undefined while it was not opened here. */
export interface Connection {
  /** In the clock's whole milliseconds. */
  [kAccepted]?: number
  [kRequests]?: number
}

export class ConnectionMeter {
  readonly sinceHeader = new Histogram(DURATION_BOUNDS)
  readonly #sinceConnection = new Histogram(DURATION_BOUNDS)
  readonly #requests = new Histogram(REQUESTS_BOUNDS)
  #opened = 0
  #closed = 0
  #dropped = 0

  open (connection: Connection, now: number): void {
    this.#opened++
    // A fraction would be an object of its own.
    connection[kAccepted] = Math.round(now)
    connection[kRequests] = 0
  }

  /** A request of the connection is about to be served. */
  request (connection: Connection, now: number): void {
    if (connection[kRequests] === undefined) return
    if (connection[kRequests]++ === 0) this.#sinceConnection.observe(Math.max(0, now - connection[kAccepted]!) / 1000)
  }

  close (connection: Connection): void {
    // Ended before it was opened here: one too many of its address, say.
    if (connection[kRequests] === undefined) return this.drop()
    this.#closed++
    this.#requests.observe(connection[kRequests])
  }

  drop (): void {
    this.#dropped++
  }

  register (instruments: Instruments): void {
    instruments.add(open, add => add(this.#opened - this.#closed))
    instruments.add(opened, add => add(this.#opened))
    instruments.add(dropped, add => add(this.#dropped))
    instruments.add(requests, add => add(this.#requests))
    instruments.add(startDelay, add => {
      if (this.sinceHeader.count > 0) add(this.sinceHeader, { source: 'header' })
      add(this.#sinceConnection, { source: 'connection' })
    })
  }
}
