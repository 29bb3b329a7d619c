// What a run came to: good replies a second and how long they took, and what became of the others.
import { BROKEN, TIMED_OUT, type Requests } from './open-loop.ts'
import { percentile } from './statistics.ts'

export interface Figures {
  /** Requests that were due. */
  requests: number
  /** Good replies a second: a status below 400 within the timeout. */
  good: number
  /** Milliseconds, of good replies; NaN without one. */
  p50: number
  p95: number
  p99: number
  /** Shares of the requests: 429 and 503, no reply in time, any other failure. */
  refused: number
  timedOut: number
  failed: number
  /** Share of the requests that went out within 20 ms of when they were due. */
  inTime: number
  /** Most bytes of resident memory, and the worst p99 of the event loop's delay in milliseconds; NaN where /metrics does not tell. */
  rss: number
  loopDelay: number
}

/** At one limit of a sweep. */
export interface Swept extends Figures { limit: number }

/** Below this the generator could not offer what it was to. */
export const IN_TIME = 0.97
const LATE_MS = 20

/** Of the requests due from `from` to `to`, in milliseconds since the start. */
export function figuresOf ({ due, late, latency, status }: Requests, from: number, to: number): Figures {
  const good: number[] = []
  let [requests, refused, timedOut, failed, inTime] = [0, 0, 0, 0, 0]
  for (let id = 0; id < due.length; id++) {
    if (due[id]! < from || due[id]! >= to) continue
    requests++
    if (late[id]! <= LATE_MS) inTime++
    const code = status[id]!
    if (code === TIMED_OUT) timedOut++
    else if (code === 429 || code === 503) refused++
    else if (code === BROKEN || code >= 400) failed++
    else good.push(latency[id]!)
  }
  good.sort((a, b) => a - b)
  const share = (count: number): number => requests === 0 ? 0 : count / requests
  return {
    requests,
    good: good.length / (to - from) * 1_000,
    p50: percentile(good, 0.5),
    p95: percentile(good, 0.95),
    p99: percentile(good, 0.99),
    refused: share(refused),
    timedOut: share(timedOut),
    failed: share(failed),
    inTime: share(inTime),
    rss: NaN,
    loopDelay: NaN
  }
}
