// One run: clients that arrive at their own pace, wait 500 ms and leave; handlers that go on for them.
import { Events, exponential, randomOf } from './engine.ts'
import { Claim, ModelGate } from './model-gate.ts'
import type { Rule } from './rules/rule.ts'
import type { Workload } from './workloads.ts'

export const CAPACITY = 500
const PATIENCE = 500
const COLD_MS = 2000

export interface Run {
  /** Replies that reached their client, in each second by arrival. */
  good: number[]
  /** Of those, without the first two seconds: the cold start is judged by goodput. */
  latencies: number[]
  shed: number
  /** The limit, each 100 ms. */
  limits: number[]
}

export function run (workload: Workload, rate: number, seconds: number, seed: number, rule: Rule, patience = PATIENCE): Run {
  const events = new Events()
  // Draws of their own, so that every rule meets the same arrivals.
  const arrivals = randomOf(seed)
  const backend = workload(events, randomOf(seed + 1000))
  const gate = new ModelGate(rule, events)
  const good: number[] = Array(seconds).fill(0)
  const latencies: number[] = []
  const limits: number[] = []

  function arrive (): void {
    const at = events.now
    if (at >= seconds * 1000) return
    let live = true
    const route = backend.route()
    const claim = new Claim(route, () => backend.work(route, settled))
    function settled (): void {
      if (live) {
        const ms = events.now - at
        good[Math.floor(at / 1000)]!++
        if (at >= COLD_MS) latencies.push(ms)
      }
      gate.leave(claim)
      live = false
    }
    backend.arrive(() => live, () => gate.enter(claim))
    events.after(patience, () => {
      if (!live) return
      live = false
      gate.gone(claim)
    })
    events.after(exponential(arrivals, 1000 / rate), arrive)
  }
  arrive()
  ;(function sample () {
    limits.push(rule.current)
    events.after(100, sample)
  })()
  events.run(seconds * 1000 + 2 * patience)
  return { good, latencies, shed: gate.shed, limits }
}

export function sum (values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0)
}

export function quantile (values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN
}
