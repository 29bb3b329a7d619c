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
  /** Arrivals in a millisecond. Those that are not let wait for 500 ms. */
  rate: number
  ending?: Ending
}

interface Running { route: number, since: number, began: number, ends: number }

/** One that ends now. */
function claim ({ service, began, kind = 0, lag = 0, now = 0 }: { service: number, began: number, kind?: number, lag?: number, now?: number }) {
  return { service, began, kind, lag, started: now - service }
}

class Server {
  readonly limit: AdaptiveLimit
  now = 0
  /** Those who waited in vain. */
  shed = 0
  #arrived = 0
  #waiting: number[] = []
  #running: Running[] = []
  /** When each server is free. */
  #free: number[] = []

  constructor (max = 1000, min = 1) {
    this.limit = new AdaptiveLimit({ min, max, maxWait: MAX_WAIT })
  }

  /** The limit of each millisecond. */
  serve (ms: number, { servers, services, mix = [0], rate, ending = 'served' }: Load): number[] {
    const limits: number[] = []
    this.#free = Array.from({ length: servers }, (_, i) => this.#free[i] ?? this.now)
    let arrivals = 0
    for (let end = this.now + ms; this.now < end; this.now++) {
      while (this.#waiting[0]! <= this.now - MAX_WAIT) {
        this.#waiting.shift()
        this.shed++
      }
      const ended = this.#running.filter(claim => claim.ends <= this.now).sort((a, b) => a.ends - b.ends)
      this.#running = this.#running.filter(claim => claim.ends > this.now)
      ended.forEach(({ since, began, route }, i) => {
        this.limit.ended(claim({ service: this.now - since, began, kind: route, now: this.now }), ending, this.#running.length + ended.length - i, this.#waiting.length, this.now)
      })
      if (this.#waiting.length > 0 && this.now >= this.limit.due(this.#waiting[0]!)) this.limit.waited(this.now, this.#running.length, 0)
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

const MAX_WAIT = 500
/** Twice what they can do. */
const TEN = { servers: 10, services: [20], rate: 1 }
const PLENTY = 1000

function median (values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!
}

test('nothing queues: the limit makes room for calls that take long, before anybody waits too long', () => {
  const server = new Server()
  server.serve(20_000, { servers: PLENTY, services: [5000], rate: 0.1 })
  assert.equal(server.shed, 0)
})

test('500 calls of 5 s at once, behind quick ones, are all let in', () => {
  const server = new Server()
  server.serve(5000, { servers: PLENTY, services: [5], rate: 0.1 })
  server.serve(1, { servers: PLENTY, services: [5000], rate: 500 })
  server.serve(6000, { servers: PLENTY, services: [5000], rate: 0 })
  assert.equal(server.shed, 0)
})

test('an overload that has just begun: what is let in before it shows is worked off in a few service times', () => {
  const server = new Server()
  server.serve(2000, { ...TEN, rate: 0.25 })
  const limits = server.serve(1000, { ...TEN, rate: 5 })
  assert.ok(Math.max(...limits) <= 64, `up to ${Math.max(...limits)}`)
  assert.ok(Math.max(...limits.slice(200)) <= 20, `up to ${Math.max(...limits.slice(200))} behind 0.2 s`)
})

test('where nobody ends any more, nothing is known: the limit makes room for long calls that follow an overload', () => {
  const server = new Server()
  server.serve(5000, TEN)
  assert.ok(server.limit.current <= 20)
  // The waiting room is still full of those who came before.
  server.serve(600, { servers: PLENTY, services: [5000], rate: 0.1 })
  const { shed } = server
  server.serve(10_000, { servers: PLENTY, services: [5000], rate: 0.1 })
  assert.equal(server.shed, shed)
})

test('orphans end the doublings: room for more would be room for what nobody waits for', () => {
  const { limit } = new Server()
  limit.waited(80, 32, 0)
  assert.equal(limit.current, 64)
  limit.waited(160, 64, 9)
  assert.deepEqual([limit.current, limit.searching], [64, false])
})

test('a short wait is divided into as many doublings', () => {
  const limit = new AdaptiveLimit({ min: 1, max: 1000, maxWait: 60 })
  let now = 0
  while (limit.current < 1000) limit.waited(now = limit.due(0), 0, 0)
  assert.ok(now < 60, `${now} ms`)
  assert.equal(limit.due(0), Infinity)
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
  for (let i = 0; i < 100; i++) server.limit.ended(claim({ service: 120, began: 1 }), 'served', 60, 1, 0)
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
  for (let i = 0; i < 5000; i++) server.limit.ended(claim({ service: 0.1, began: current, now: server.now }), 'untelling', current, 1, server.now++)
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
  for (let i = 0; i < 5000; i++) server.limit.ended(claim({ service: 1, began: current, now: server.now }), 'orphaned', current, 1, server.now++)
  assert.equal(server.limit.current, current)
})

test('when nobody has had to wait for two seconds, the limit is searched for again, from twice what was in flight', () => {
  const server = new Server()
  server.serve(5000, TEN)
  assert.deepEqual([server.limit.current < 20, server.limit.searching], [true, false])
  server.serve(4000, { ...TEN, rate: 0.2 })
  assert.deepEqual([server.limit.current, server.limit.searching], [32, true])
  server.serve(6000, { servers: PLENTY, services: [20], rate: 5 })
  assert.ok(server.limit.current >= 200 && server.limit.current <= 256, `${server.limit.current}`)
})

test('a service that becomes slower while nothing queues: by less than twice it loses nobody, by four times nobody for long', () => {
  const server = new Server()
  const load = { servers: PLENTY, rate: 5 }
  server.serve(3000, { ...load, services: [20] })
  server.serve(3000, { ...load, services: [35] })
  assert.equal(server.shed, 0)
  server.serve(3000, { ...load, services: [140] })
  const { shed } = server
  server.serve(3000, { ...load, services: [140] })
  assert.equal(server.shed, shed)
})

test('a few claims that took longer by chance, then long calls only: they do not stand in the way of a doubling for ever', () => {
  const server = new Server()
  server.serve(1000, { servers: PLENTY, services: [5], rate: 0.1 })
  for (let i = 0; i < 10; i++) server.limit.ended(claim({ service: 50, began: 1, now: server.now }), 'served', 1, 0, server.now)
  server.serve(10_000, { servers: PLENTY, services: [5, 5000], mix: [1], rate: 0.1 })
  assert.equal(server.shed, 0)
})

test('claims that hang do not hold a probe up for ever', () => {
  const server = new Server()
  server.serve(5000, TEN)
  // Claims begin and end, but those that were in flight at the probe do not.
  const limits: number[] = []
  for (const end = server.now + 20_000; server.now < end; server.now++) {
    server.limit.ended(claim({ service: 1, began: 100, now: server.now }), 'served', 100, 1, server.now)
    limits.push(server.limit.current)
  }
  assert.ok(limits.some((limit, i) => limit > 100 && limits[i - 1] === 60), [...new Set(limits)].join())
})

test('the limit keeps its bounds', () => {
  const server = new Server(30, 12)
  const limits = [...server.serve(5000, { ...TEN, servers: 2 }), ...server.serve(5000, { ...TEN, servers: 100, rate: 4 })]
  assert.equal(Math.min(...limits), 12)
  assert.equal(Math.max(...limits), 30)
})

test('a queue that showed while nobody waited keeps the limit from doubling, until it is silent', () => {
  const { limit } = new Server()
  let now = 0
  for (; now < 100; now++) limit.ended(claim({ service: 20, began: 5, now }), 'served', 5, 0, now)
  for (; now < 150; now++) limit.ended(claim({ service: 60, began: 30, now }), 'served', 30, 0, now)
  limit.waited(now, 32, 0)
  assert.equal(limit.current, 32)
  limit.waited(now + 1000, 32, 0)
  assert.equal(limit.current, 64)
})

test('claims that take longer because the loop is late lower nothing; a queue that is longer still does', () => {
  const server = new Server()
  server.serve(2000, { ...TEN, rate: 0.25 })
  const { limit } = server
  limit.waited(server.now, 32, 0)
  const { current } = limit
  for (const end = server.now + 2000; server.now < end; server.now++) limit.ended(claim({ service: 45, began: current, lag: 30, now: server.now }), 'served', current, 5, server.now)
  assert.ok(limit.current >= current, `${limit.current} of ${current}`)
  for (const end = server.now + 2000; server.now < end; server.now++) limit.ended(claim({ service: 100, began: current, lag: 30, now: server.now }), 'served', current, 5, server.now)
  assert.ok(limit.current < current, `${limit.current} of ${current}`)
})
