// The measure that a round of claims is: stretch, spread and noise, by hand-made claims.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServiceTimes } from '../../plugins/concurrency/service-times.ts'

const { log } = Math

function near (actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-9, `${actual}, not ${expected}`)
}

function claim (service: number, began: number, kind: number, lag = 0) {
  return { service, began, kind, lag, started: 0 }
}

function round (times: ServiceTimes, services: number[], { route = 0, began = 20 } = {}): void {
  for (const service of services) times.add(claim(service, began, route), false)
}

test('the stretch is the mean logarithm of service by base', () => {
  const times = new ServiceTimes()
  round(times, [20])
  near(times.stretch, 0)
  times.next()
  round(times, [40, 80])
  near(times.stretch, (log(2) + log(4)) / 2)
  assert.equal(times.peak, 20)
})

test('a route counts by the slots that it takes', () => {
  const times = new ServiceTimes()
  round(times, [10])
  round(times, [90], { route: 1 })
  times.next()
  round(times, [20])
  round(times, [90], { route: 1 })
  near(times.stretch, 0.1 * log(2))
  assert.equal(times.usual > 0, true)
})

test('the tolerance follows the natural spread, and not what in flight explains', () => {
  const times = new ServiceTimes()
  round(times, [20])
  times.next()
  round(times, [10, 40])
  near(times.tolerance, 0.1 + 0.8 * log(2))
  assert.ok(times.noise > 0)
  times.next()
  for (const began of [10, 20, 40, 80]) times.add(claim(2 * began, began, 0), false)
  near(times.tolerance, 0.1)
  assert.ok(times.queue)
})

test('by the first hundred claims that met few others a base is learned', () => {
  const times = new ServiceTimes()
  round(times, [20])
  round(times, [80], { began: 11 })
  round(times, [80], { began: 10 })
  times.next()
  round(times, [40])
  near(times.stretch, 0)
})

test('learning moves the bases of the routes that were seen', () => {
  const times = new ServiceTimes()
  round(times, [20])
  round(times, [20], { route: 1 })
  times.next()
  round(times, new Array(8).fill(80))
  times.learn(0.5)
  times.next()
  round(times, [40])
  near(times.stretch, 0)
  times.next()
  round(times, [40], { route: 1 })
  near(times.stretch, log(2))
})

test('a fall is that of the routes which were there before', () => {
  const times = new ServiceTimes()
  round(times, [10])
  round(times, [10], { route: 1 })
  round(times, [10], { route: 2 })
  times.next()
  // The quick route stood in the queue as long, which stretches it more.
  round(times, [110])
  round(times, [200], { route: 1 })
  times.mark()
  times.next()
  round(times, [55])
  round(times, [1000], { route: 2 })
  near(times.fall, log(2))
  times.next()
  round(times, [1000], { route: 2 })
  near(times.fall, 0)
})

test('an orphan that ended early tells nothing', () => {
  const times = new ServiceTimes()
  round(times, [20])
  times.next()
  times.add(claim(1, 20, 0), true)
  assert.equal(times.count, 0)
  times.add(claim(40, 20, 0), true)
  near(times.stretch, log(2))
})

test('where the loop was late, of what is possible the nearest to the usual counts', () => {
  const times = new ServiceTimes()
  round(times, [20])
  times.next()
  times.add(claim(35, 20, 0, 20), false)
  near(times.stretch, 0)
  times.next()
  times.add(claim(60, 20, 0, 20), false)
  near(times.stretch, log(2))
  times.next()
  times.add(claim(10, 20, 0, 20), false)
  near(times.stretch, log(0.5))
  times.next()
  times.add(claim(30, 20, 0, 30), false)
  times.learn(1)
  round(times, [20])
  near(times.stretch, 0)
})
