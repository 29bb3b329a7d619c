// What a round of claims says of the service: how much longer it took than it takes when nobody queues, and whether that is
// more than its natural spread. It prevents a limit from following the mix of routes, or the noise of a heavy tail.
//
//   stretch   = Σ w·ln(service / base of its route) / Σ w        w: base, so that a route counts by the slots it takes
//   tolerance = 0.1 + 0.8 × spread of the logarithms             less what in flight explains of it, by linear regression
//
// The logarithm, since a wait of 5 ms hides in the mean of services of 5 and 155 ms, but doubles most of them.

import type { Claim } from '../shared/gate/limit.ts'

/** The first claims of a route set its base; those that met more than a few others may have queued. */
const FIRST_CLAIMS = 100
const FEW = 10
/** Below it in flight is as good as constant, and explains nothing. */
const LEAST_VARIANCE = 0.01
const SHORTEST_MS = 0.01

interface Route {
  /** Mean logarithm of its service time without a queue. */
  base: number
  /** e^base: milliseconds. */
  usual: number
  learned: number
  /** Of this round. */
  sum: number
  count: number
  /** Its mean in the round that was marked last, and which that was. */
  marked: number
  mark: number
}

export class ServiceTimes {
  /** Claims of this round. */
  count = 0
  /** Most in flight that one of them met. */
  peak = 0
  readonly #routes: Array<Route | undefined> = []
  /** Those of this round. */
  readonly #seen: Route[] = []
  #mark = 0
  #usual = 0
  #weight = 0
  #weightSquares = 0
  #stretch = 0
  #stretchSquares = 0
  #inflight = 0
  // Of the logarithm of what a claim met in flight: mean, squares, product with its stretch.
  #met = 0
  #metSquares = 0
  #metStretch = 0

  add ({ service, lag, began, kind }: Claim, orphaned: boolean): void {
    let log = logOf(service)
    const route = this.#routes[kind] ??= { base: log, usual: Math.exp(log), learned: 0, sum: 0, count: 0, marked: 0, mark: 0 }
    // Of what is possible, what is nearest to the usual: nothing is learned of what the loop may have added.
    if (lag > 0 && log > route.base) log = Math.max(route.base, logOf(service - lag))
    // Its handler may have given up as well.
    if (orphaned && log < route.base) return
    if (route.learned === 0 || (route.learned < FIRST_CLAIMS && began <= FEW)) move(route, (log - route.base) / ++route.learned)
    if (route.count++ === 0) this.#seen.push(route)
    route.sum += log
    const stretch = log - route.base
    const weight = route.usual
    const met = Math.log(began)
    this.count++
    this.#weight += weight
    this.#weightSquares += weight * weight
    this.#stretch += weight * stretch
    this.#stretchSquares += weight * stretch * stretch
    this.#inflight += weight * began
    this.#met += weight * met
    this.#metSquares += weight * met * met
    this.#metStretch += weight * met * stretch
    if (began > this.peak) this.peak = began
  }

  /** In flight as the claims met it: the queue that they stood in. What they leave behind would let the limit run away. */
  get inflight (): number { return this.#inflight / this.#weight }

  /** Milliseconds that a claim takes without a queue, on average, by this round or the last; 0 before any. */
  get usual (): number { return this.count > 0 ? this.#weight / this.count : this.#usual }

  get stretch (): number { return this.#stretch / this.#weight }

  get tolerance (): number { return 0.1 + 0.8 * this.#spread }

  /** What chance may have added to the stretch: its standard error. */
  get noise (): number { return this.#spread * Math.sqrt(this.#weightSquares) / this.#weight }

  /** Whether claims take longer than they should, as far as is known. */
  get queue (): boolean { return this.count > 0 && this.stretch > this.tolerance }

  get #spread (): number {
    const { stretch } = this
    const met = this.#met / this.#weight
    const variance = this.#metSquares / this.#weight - met * met
    const covariance = this.#metStretch / this.#weight - met * stretch
    const explained = covariance > 0 && variance > LEAST_VARIANCE ? covariance * covariance / variance : 0
    return Math.sqrt(Math.max(0, this.#stretchSquares / this.#weight - stretch * stretch - explained))
  }

  /** Moves the bases towards what this round measured. */
  learn (weight: number): void {
    for (const route of this.#seen) move(route, weight * Math.min(1, route.count / 8) * (route.sum / route.count - route.base))
  }

  /** Remembers this round, for `fall`. */
  mark (): void {
    this.#mark++
    this.remark()
  }

  /** Adds this round to what is remembered. */
  remark (): void {
    for (const route of this.#seen) {
      route.marked = route.sum / route.count
      route.mark = this.#mark
    }
  }

  /** By how much the stretch fell since the mark: route by route, for those that are quick end first behind a change. */
  get fall (): number {
    let fall = 0
    let weights = 0
    for (const route of this.#seen) {
      if (route.mark !== this.#mark) continue
      const weight = route.usual * route.count
      weights += weight
      fall += weight * (route.marked - route.sum / route.count)
    }
    return weights === 0 ? 0 : fall / weights
  }

  /** Begins a new round. */
  next (): void {
    this.#usual = this.usual
    for (const route of this.#seen) route.sum = route.count = 0
    this.#seen.length = 0
    this.count = this.peak = this.#weight = this.#weightSquares = this.#stretch = this.#stretchSquares = 0
    this.#inflight = this.#met = this.#metSquares = this.#metStretch = 0
  }
}

function logOf (ms: number): number {
  return Math.log(Math.max(ms, SHORTEST_MS))
}

function move (route: Route, by: number): void {
  route.base += by
  route.usual = Math.exp(route.base)
}
