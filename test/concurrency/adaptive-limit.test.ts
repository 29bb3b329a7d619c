// The adaptive limit before servers that take claims first come, first served, millisecond by millisecond, with evenly
// spaced arrivals: no randomness and no clock. The simulation in bench/overload has the rest.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AdaptiveLimit } from '../../plugins/concurrency/adaptive-limit.ts'
import type { Ending } from '../../plugins/shared/gate/limit.ts'

interface Load {
  /** Those that the claims stand in line for. */
  servers: number
  /** Milliseconds, by route. */
  services: number[]
  /** The routes that arrivals take in turn. */
  mix?: number[]
  /** Arrivals in a millisecond. Those that are not let wait for 50 ms. */
  rate: number
  ending?: Ending
}

interface Claim { route: number, since: number, began: number, ends: number }

class Server {
  readonly limit: AdaptiveLimit
  now = 0
  #arrived = 0
  #waiting: number[] = []
  #running: Claim[] = []
  /** When each server is free. */
  #free: number[] = []

  constructor (max = 1000, min = 1) {
    this.limit = new AdaptiveLimit({ min, max })
  }

  /** The limit of each millisecond. */
  serve (ms: number, { servers, services, mix = [0], rate, ending = 'served' }: Load): number[] {
    const limits: number[] = []
    this.#free = Array.from({ length: servers }, (_, i) => this.#free[i] ?? this.now)
    let arrivals = 0
    for (let end = this.now + ms; this.now < end; this.now++) {
      this.#waiting = this.#waiting.filter(since => since > this.now - 50)
      const ended = this.#running.filter(claim => claim.ends <= this.now).sort((a, b) => a.ends - b.ends)
      this.#running = this.#running.filter(claim => claim.ends > this.now)
      ended.forEach(({ since, began, route }, i) => {
        this.limit.ended(this.now - since, began, this.#running.length + ended.length - i, this.#waiting.length, this.now, route, ending)
      })
      for (arrivals += rate; arrivals >= 1; arrivals--) this.#waiting.push(this.now)
      while (this.#waiting.length > 0 && this.#running.length < this.limit.current) {
        this.#waiting.shift()
        this.#begin(mix[this.#arrived++ % mix.length]!, services)
      }
      limits.push(this.limit.current)
    }
    return limits
  }

  #begin (route: number, services: number[]): void {
    const next = this.#free.indexOf(Math.min(...this.#free))
    this.#free[next] = Math.max(this.#free[next]!, this.now) + services[route]!
    this.#running.push({ route, since: this.now, began: this.#running.length + 1, ends: this.#free[next]! })
  }
}

/** Twice what they can do. */
const TEN = { servers: 10, services: [20], rate: 1 }
const PLENTY = 1000

function median (values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!
}

test('nothing queues: the limit stays where it started, for calls that take long', () => {
  const server = new Server()
  const limits = server.serve(20_000, { servers: PLENTY, services: [5000], rate: 0.1 })
  assert.equal(Math.min(...limits), 1000)
})

test('a queue before ten servers: the limit comes down to about ten within two seconds, and stays', () => {
  const server = new Server()
  server.serve(2000, TEN)
  const limits = server.serve(30_000, TEN)
  assert.ok(Math.max(...limits) <= 20, `up to ${Math.max(...limits)}`)
  const busy = limits.reduce((sum, limit) => sum + Math.min(1, limit / 10), 0) / limits.length
  assert.ok(busy > 0.95, `${busy} of the servers are busy`)
})

test('a service that became slower is no queue: within three seconds the limit is back, there and back again', () => {
  const server = new Server()
  server.serve(5000, TEN)
  for (const service of [40, 20]) {
    server.serve(3000, { ...TEN, services: [service] })
    const limit = median(server.serve(5000, { ...TEN, services: [service] }))
    assert.ok(limit >= 10 && limit <= 20, `${limit} at ${service} ms`)
  }
})

test('a service that becomes slower and slower does not pull the limit down with it', () => {
  const server = new Server()
  server.serve(5000, TEN)
  for (let service = 20; service < 80; service++) server.serve(1000, { ...TEN, services: [service] })
  const limit = median(server.serve(5000, { ...TEN, services: [80] }))
  assert.ok(limit >= 9, `${limit}`)
})

test('half of the servers are gone, then there are four times as many', () => {
  const server = new Server()
  server.serve(5000, TEN)
  server.serve(3000, { ...TEN, servers: 5 })
  const five = median(server.serve(3000, { ...TEN, servers: 5 }))
  assert.ok(five <= 15, `${five} before five`)
  server.serve(3000, { ...TEN, servers: 40, rate: 4 })
  const forty = median(server.serve(3000, { ...TEN, servers: 40, rate: 4 }))
  assert.ok(forty >= 40, `${forty} before forty`)
})

test('a base that was measured in a queue is found out by the probe', () => {
  const server = new Server(60)
  // The very first claim stands sixty deep, so that the queue is all that is known.
  for (let i = 0; i < 20; i++) server.limit.ended(120, 1, 60, 1, 0, 0, 'served')
  server.serve(2000, TEN)
  assert.ok(server.limit.current > 50)
  const limit = median(server.serve(30_000, TEN).slice(-5000))
  assert.ok(limit <= 30, `${limit}`)
})

test('a shift from quick routes to slow ones is no queue, since each route has its base', () => {
  const server = new Server(20)
  const routes = { servers: PLENTY, services: [5, 100], rate: 1 }
  server.serve(3000, { ...routes, mix: [0, 0, 0, 1] })
  const limits = server.serve(1500, { ...routes, mix: [1, 0, 1, 1] })
  assert.equal(Math.min(...limits), 20)
})

test('failures tell nothing: quick ones neither hide a queue nor are taken for the service itself', () => {
  const server = new Server()
  server.serve(3000, TEN)
  const { current } = server.limit
  for (let i = 0; i < 5000; i++) server.limit.ended(0.1, current, current, 1, server.now++, 0, 'untelling')
  assert.equal(server.limit.current, current)
})

test('orphans tell of a queue when nobody else is left to', () => {
  const server = new Server()
  server.serve(5000, { ...TEN, ending: 'orphaned' })
  assert.ok(server.limit.current <= 20, `${server.limit.current}`)
})

test('an orphan that ended early is no sign of health', () => {
  const server = new Server()
  server.serve(3000, TEN)
  const { current } = server.limit
  for (let i = 0; i < 5000; i++) server.limit.ended(1, current, current, 1, server.now++, 0, 'orphaned')
  assert.equal(server.limit.current, current)
})

test('when nobody has had to wait for two seconds, the limit is open again', () => {
  const server = new Server()
  server.serve(5000, TEN)
  assert.ok(server.limit.current < 20)
  server.serve(4000, { ...TEN, rate: 0.2 })
  assert.equal(server.limit.current, 1000)
})

test('a slower service while nobody waits lowers the limit no further than it needs', () => {
  const server = new Server()
  const load = { servers: PLENTY, rate: 5 }
  server.serve(3000, { ...load, services: [20] })
  const limits = server.serve(3000, { ...load, services: [40] })
  assert.ok(Math.min(...limits) > 200, `${Math.min(...limits)}`)
  assert.ok(Math.min(...limits) < 1000, 'it was not even asked')
})

test('claims that hang do not hold a probe up for ever', () => {
  const server = new Server(100)
  // Claims begin and end, but those that were in flight at the probe do not.
  const limits = []
  for (; server.now < 12_000; server.now++) {
    server.limit.ended(1, 100, 100, 1, server.now, 0, 'served')
    limits.push(server.limit.current)
  }
  assert.equal(Math.min(...limits), 60)
  assert.equal(server.limit.current, 100)
})

test('the limit keeps its bounds', () => {
  const server = new Server(30, 12)
  const limits = [...server.serve(5000, { ...TEN, servers: 2 }), ...server.serve(5000, { ...TEN, servers: 100, rate: 4 })]
  assert.equal(Math.min(...limits), 12)
  assert.equal(Math.max(...limits), 30)
})
