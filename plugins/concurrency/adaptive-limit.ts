// Finds how many claims a gate may run at a time, from nothing but how long they take. It prevents both ends of a guess:
// a limit so high that a queue builds up out of sight, before the database or on the loop, and one so low that it sheds
// what could have been served.
//
//   stretch   = Σ w·ln(service / base of its route) / Σ w        w: base, so that a route counts by the slots it takes
//   tolerance = 0.1 + 0.8 × spread of the logarithms             a queue matters once it shows against the natural spread
//
//   stretch ≤ tolerance, and claims had to wait:   limit = 1.1 × most in flight + 1
//   stretch > tolerance, and claims had to wait:   limit = inflight × max(½, e^½(tolerance − stretch)), and that is a trial
//   stretch > tolerance, and nobody had to wait:   limit ≤ 1.25 × inflight × max(2, e^stretch), and base follows slowly
//   nobody had to wait for 2 s:                    limit = max
//
// TCP Vegas asks the same question (Brakmo 1994; for servers: Netflix' concurrency-limits, Uber's Cinnamon, failsafe-go),
// by the shortest time ever seen. Three things are different here, since each of them was seen to fail in simulation:
//
// - The logarithm. A wait of 5 ms hides in the mean of services of 5 and 155 ms, but doubles most of them.
// - `inflight` is what a claim met when it began, weighted as its stretch is, for that is the queue that it stood in. With
//   what it leaves behind when it ends, the limit ran away upwards (goodput 10% instead of 98%).
// - The base is tried, not believed. A service that became slower and a queue look alike, until there are fewer in flight:
//   a queue then falls in proportion, the service does not. So each reduction is a trial, judged by claims that began after
//   it once those before it are gone: if a third fewer in flight did not take off half of what they should have, the queue
//   was not ours, the base becomes what is measured now, and the limit comes back. And as a base may also be too high, or
//   too low by a little for any reduction to reach a third, there is a probe at 60% each 5 s (20 services, if those are longer)
//   while claims have to wait.
//
// It starts at max: at five times the capacity of a 20 ms service the first reduction comes within 0.2 s, and a limit that
// starts low would shed a burst of calls that merely take long, with no sample for as long as the first of them takes.

import type { Ending, Limit } from '../shared/gate/limit.ts'

/** Milliseconds and claims that a round takes at least; one whose stretch is beyond doubt is over with fewer claims. */
const ROUND_MS = 50
const ROUND_CLAIMS = 50
const CLEAR_CLAIMS = 20
const PROBE_MS = 5_000
const IDLE_MS = 2_000
/** The first claims of a route set its base; those that met more than a few others may have queued. */
const FIRST_CLAIMS = 20
const FEW = 10
/** What a difference of two times may be off by. */
const ROUNDING_MS = 0.001
/** ln 1.5: in flight fell by a third. */
const THIRD_FEWER = 0.4
const SLACK = 1.25

interface Route {
  /** Mean logarithm of its service time without a queue. */
  base: number
  learned: number
  /** Of this round. */
  sum: number
  count: number
}

interface Trial {
  inflight: number
  stretch: number
  /** The limit before. */
  limit: number
  since: number
  /** Claims from before that are still to end: nine tenths, so that a straggler does not hold it up. */
  before: number
  probe: boolean
}

export class AdaptiveLimit implements Limit {
  current: number
  readonly #min: number
  readonly #max: number
  readonly #routes: Array<Route | undefined> = []
  /** Those of this round. */
  readonly #seen: Route[] = []
  #roundEnd = 0
  #count = 0
  #weight = 0
  #weightSquares = 0
  #stretch = 0
  #stretchSquares = 0
  #inflight = 0
  #peak = 0
  #waited = false
  #lastWait = -Infinity
  #lastVerdict = 0
  #trial: Trial | undefined

  constructor ({ min, max }: { min: number, max: number }) {
    this.#min = min
    this.#max = max
    this.current = max
  }

  ended (service: number, began: number, inflight: number, queued: number, now: number, kind: number, ending: Ending, started = now - service): void {
    if (queued > 0) {
      this.#waited = true
      this.#lastWait = now
    }
    const trial = this.#trial
    const fromBefore = trial !== undefined && started <= trial.since + ROUNDING_MS
    if (fromBefore && trial.before > 0 && --trial.before === 0) this.#nextRound(now)
    // What is left of before when the others are gone met another number in flight.
    else if (!(fromBefore && trial.before === 0) && ending !== 'untelling') this.#sample(Math.log(Math.max(service, 0.01)), began, kind, ending)
    if (now >= this.#roundEnd && this.#count >= CLEAR_CLAIMS && this.#count % 10 === 0) this.#round(now, inflight)
  }

  #sample (log: number, began: number, index: number, ending: Ending): void {
    const route = this.#routes[index] ??= { base: log, learned: 0, sum: 0, count: 0 }
    if (ending === 'orphaned' && log < route.base) return
    if (route.learned === 0 || (route.learned < FIRST_CLAIMS && began <= FEW)) route.base += (log - route.base) / ++route.learned
    if (route.count++ === 0) this.#seen.push(route)
    route.sum += log
    const stretch = log - route.base
    const weight = Math.exp(route.base)
    this.#count++
    this.#weight += weight
    this.#weightSquares += weight * weight
    this.#stretch += weight * stretch
    this.#stretchSquares += weight * stretch * stretch
    this.#inflight += weight * began
    if (began > this.#peak) this.#peak = began
  }

  #round (now: number, running: number): void {
    const stretch = this.#stretch / this.#weight
    const spread = Math.sqrt(Math.max(0, this.#stretchSquares / this.#weight - stretch * stretch))
    const tolerance = 0.1 + 0.8 * spread
    const noise = spread * Math.sqrt(this.#weightSquares) / this.#weight
    if (this.#count < ROUND_CLAIMS && stretch < tolerance + 3 * noise) return
    const inflight = this.#inflight / this.#weight
    const interval = Math.max(PROBE_MS, 20 * this.#weight / this.#count)
    const queue = stretch > tolerance
    const fewer = Math.min(this.current - 1, inflight * Math.max(0.5, Math.exp((tolerance - stretch) / 2)))

    if (this.#trial !== undefined) this.#judge(this.#trial, now, running, inflight, stretch, queue, fewer, interval)
    else if (!this.#waited) {
      this.#learn(0.1)
      // By Little's law a service that became slower has as many more in flight, and not more than that.
      if (queue) this.#set(Math.min(this.current, SLACK * inflight * Math.max(2, Math.exp(stretch))))
      else if (now - this.#lastWait > IDLE_MS) {
        this.#set(this.#max)
        this.#lastVerdict = now
      }
    } else if (queue) {
      this.#try(now, running, inflight, stretch, this.current, false)
      this.#set(fewer)
    } else if (now - this.#lastVerdict > interval && inflight > this.current / 2) {
      this.#try(now, running, inflight, stretch, this.current, true)
      this.#set(0.6 * inflight)
    } else {
      this.#set(Math.max(this.current, Math.min(2 * this.current, 1.1 * this.#peak + 1)))
      // Downwards only: while claims wait in front, what makes them slower may be others in front of them.
      if (stretch < 0) this.#learn(0.1)
    }
    this.#nextRound(now)
  }

  #judge (trial: Trial, now: number, running: number, inflight: number, stretch: number, queue: boolean, fewer: number, interval: number): void {
    if (trial.before > 0) {
      // These began before it: they tell what it is to be compared with, and may call for less still.
      if (inflight > trial.inflight) {
        trial.inflight = inflight
        trial.stretch = stretch
      }
      if (queue) this.#set(Math.min(this.current, fewer + 1))
      else if (!trial.probe) this.#trial = undefined
      // Claims that hang hold no probe up for ever.
      else if (now - trial.since > interval) {
        this.#trial = undefined
        this.#lastVerdict = now
        this.#set(trial.limit)
      }
      return
    }
    const reduction = Math.log(trial.inflight / inflight)
    const ours = trial.stretch - stretch >= reduction / 2
    const judged = reduction >= THIRD_FEWER
    if (judged) this.#lastVerdict = now
    this.#trial = undefined
    if (!queue) {
      if (judged) this.#learn(0.5)
      if (trial.probe) this.#set(trial.limit)
    } else if (!ours && (judged || this.current === this.#min)) {
      this.#learn(1)
      this.#set(Math.min(trial.limit, SLACK * trial.inflight))
    } else {
      if (ours && judged) this.#try(now, running, inflight, stretch, trial.limit, false)
      else this.#try(now, running, trial.inflight, trial.stretch, trial.limit, false)
      this.#set(fewer)
    }
  }

  #try (since: number, running: number, inflight: number, stretch: number, limit: number, probe: boolean): void {
    this.#trial = { inflight, stretch, limit, since, before: Math.max(1, Math.floor(0.9 * (running - 1))), probe }
  }

  /** Moves the bases towards what this round measured. */
  #learn (weight: number): void {
    for (const route of this.#seen) route.base += weight * Math.min(1, route.count / 8) * (route.sum / route.count - route.base)
  }

  #nextRound (now: number): void {
    for (const route of this.#seen) route.sum = route.count = 0
    this.#seen.length = 0
    this.#count = this.#weight = this.#weightSquares = this.#stretch = this.#stretchSquares = this.#inflight = this.#peak = 0
    this.#waited = false
    this.#roundEnd = now + ROUND_MS
  }

  #set (limit: number): void {
    this.current = Math.max(this.#min, Math.min(this.#max, Math.round(limit)))
  }
}
