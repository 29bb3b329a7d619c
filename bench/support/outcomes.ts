// What a run came to, from the attempts of an open loop: who was served, refused or left waiting, and when it was normal again.
import { GOOD, REFUSED, TIMED_OUT, type Attempts } from './open-loop.ts'

/** An attempt that was sent later than this was not offered in time. */
const LATE = 20
/** Fewer than this in time, and the run says more about the generator than about the server. */
const OFFERED = 0.99

export interface Part {
  /** Milliseconds since the start; attempts due from here … */
  from?: number
  /** … to here. */
  to?: number
  /** @default all */
  stream?: number
}

export interface Outcomes {
  /** Requests, retries not counted. */
  requests: number
  good: number
  /** Those of the good ones that were also over before `part.to`: what a rate is made of, or a queue would count as speed. */
  goodInTime: number
  refused: number
  timedOut: number
  failed: number
  /** Latencies of the good ones, ascending. */
  latencies: Float64Array
  /** Latencies of the refusals, ascending. */
  refusals: Float64Array
}

/** The share of the arrivals that was sent in time. */
export function offered ({ late, retry, count }: Attempts): number {
  let arrivals = 0
  let inTime = 0
  for (let id = 0; id < count; id++) {
    if (retry[id]! > 0) continue
    arrivals++
    if (late[id]! <= LATE) inTime++
  }
  return inTime / arrivals
}

export function isVoid (attempts: Attempts): boolean {
  return offered(attempts) < OFFERED
}

export function outcomes (attempts: Attempts, part: Part = {}): Outcomes {
  const sum: Outcomes = { requests: 0, good: 0, goodInTime: 0, refused: 0, timedOut: 0, failed: 0, latencies: new Float64Array(), refusals: new Float64Array() }
  const latencies: number[] = []
  const refusals: number[] = []
  for (let id = 0; id < attempts.count; id++) {
    if (!isPart(attempts, id, part)) continue
    if (attempts.retry[id] === 0) sum.requests++
    if (attempts.outcome[id] === GOOD) {
      latencies.push(attempts.latency[id]!)
      if (attempts.due[id]! + attempts.latency[id]! < (part.to ?? Infinity)) sum.goodInTime++
    } else if (attempts.outcome[id] === REFUSED) {
      refusals.push(attempts.latency[id]!)
    } else if (attempts.outcome[id] === TIMED_OUT) {
      sum.timedOut++
    } else {
      sum.failed++
    }
  }
  sum.good = latencies.length
  sum.refused = refusals.length
  sum.latencies = Float64Array.from(latencies).sort()
  sum.refusals = Float64Array.from(refusals).sort()
  return sum
}

/** Percentile over everybody, where who got no good reply waited for ever. */
export function percentileOfAll ({ latencies, requests }: Outcomes, share: number): number {
  const at = Math.ceil(requests * share) - 1
  return at < latencies.length ? latencies[at]! : Infinity
}

/** Requests in a row that must be normal, and the share of them that must. */
const IN_A_ROW = 50
const NORMAL = 0.98
/** The share of all that follow. */
const STAYS_NORMAL = 0.95

/**
 * Milliseconds from `part.from` to the first request after which the server is normal: requests get their 200 within
 * `within` ms, at first attempt, and it stays so. Infinity if it never is.
 */
export function timeToNormal (attempts: Attempts, within: number, part: Part & { from: number }): number {
  const due: number[] = []
  const normal: number[] = []
  for (let id = 0; id < attempts.count; id++) {
    if (attempts.retry[id]! > 0 || !isPart(attempts, id, part)) continue
    due.push(attempts.due[id]!)
    normal.push(attempts.outcome[id] === GOOD && attempts.latency[id]! <= within ? 1 : 0)
  }
  // before[i]: how many of the first i were normal.
  const before = [0]
  for (const one of normal) before.push(before.at(-1)! + one)
  for (let first = 0; first + IN_A_ROW <= due.length; first++) {
    const soon = (before[first + IN_A_ROW]! - before[first]!) / IN_A_ROW
    const later = (before[due.length]! - before[first]!) / (due.length - first)
    if (normal[first] === 1 && soon >= NORMAL && later >= STAYS_NORMAL) return due[first]! - part.from
  }
  return Infinity
}

function isPart ({ due, stream }: Attempts, id: number, part: Part): boolean {
  return due[id]! >= (part.from ?? 0) && due[id]! < (part.to ?? Infinity) && (part.stream === undefined || part.stream === stream[id])
}
