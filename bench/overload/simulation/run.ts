// One run: clients that arrive at their own pace, wait 500 ms and leave; handlers that go on for them. The gate is the
// real one, on the simulation's clock.
import { Gate } from '../../../plugins/shared/gate/gate.ts'
import type { Limit } from '../../../plugins/shared/gate/limit.ts'
import { Waiter } from '../../../plugins/shared/gate/waiter.ts'
import { Events, exponential, randomOf } from './engine.ts'
import type { Workload } from './workloads.ts'

export const CAPACITY = 500
const PATIENCE = 500

/** So many requests a second from `at` milliseconds on. */
export interface Phase { at: number, perSecond: number }

export interface Run {
  /** Replies that reached their client: when it asked, and for how long it waited. */
  replies: Array<{ at: number, ms: number }>
  shed: number
  /** The limit, each 100 ms. */
  limits: number[]
}

class Claim extends Waiter {
  patience = Infinity
  readonly #begin: () => void

  constructor (route: number, begin: () => void) {
    super(1)
    this.kind = route
    this.#begin = begin
  }

  override admitted (): void {
    this.#begin()
  }

  override shed (): void {}
}

export function run (workload: Workload, rate: number | readonly Phase[], seconds: number, seed: number, limit: Limit, patience = PATIENCE): Run {
  const phases = typeof rate === 'number' ? [{ at: 0, perSecond: rate }] : rate
  const events = new Events()
  // Draws of their own, so that every limit meets the same arrivals.
  const arrivals = randomOf(seed)
  const backend = workload(events, randomOf(seed + 1000))
  const gate = new Gate({ limit, maxQueue: 1000, maxWait: 500, target: 'service', orphanTimeout: 30_000 }, events)
  const replies: Run['replies'] = []
  const limits: number[] = []

  function ask (at: number): void {
    let live = true
    const route = backend.route()
    const claim = new Claim(route, () => backend.work(route, settled))
    function settled (): void {
      const ms = events.now() - at
      if (live) replies.push({ at, ms })
      gate.leave(claim)
      live = false
    }
    backend.arrive(() => live, () => {
      if (gate.enter(claim) === 'RUN') claim.admitted()
    })
    events.after(patience, () => {
      if (!live) return
      live = false
      if (claim.state === 'RUN') gate.orphan(claim)
      else if (claim.state === 'WAIT') gate.leave(claim)
    })
  }

  function come (phase: number): void {
    const end = phases[phase + 1]?.at ?? seconds * 1000
    ;(function next () {
      const ms = exponential(arrivals, 1000 / phases[phase]!.perSecond)
      if (events.now() + ms >= end) return
      events.after(ms, () => {
        ask(events.now())
        next()
      })
    })()
  }
  for (const [phase, { at }] of phases.entries()) events.after(at, () => come(phase))
  ;(function sample () {
    limits.push(limit.current)
    events.after(100, sample)
  })()
  events.run(seconds * 1000 + 2 * patience)
  return { replies, shed: Object.values(gate.stats().shed).reduce((a, b) => a + b), limits }
}

/** Replies to those who asked within so many milliseconds. */
export function good ({ replies }: Run, from = 0, to = Infinity): number {
  return replies.filter(({ at }) => at >= from && at < to).length
}

/** Those that were also there within them: what a rate is made of. */
export function goodInTime ({ replies }: Run, from: number, to: number): number {
  return replies.filter(({ at, ms }) => at >= from && at + ms < to).length
}

export function quantile ({ replies }: Run, q: number, from = 0): number {
  const sorted = replies.filter(({ at }) => at >= from).map(({ ms }) => ms).sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN
}
