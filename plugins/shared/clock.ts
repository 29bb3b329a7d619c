// Time as a parameter: cores take a Clock, so that their tests move it by hand instead of sleeping.
// Monotonic: a step of the wall clock must lengthen no penalty and fire no deadline.
import { performance } from 'node:perf_hooks'

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  now: () => number
  /** Calls `fn` once after `ms`. Never keeps the process alive. */
  setTimeout: (fn: () => void, ms: number) => unknown
  clearTimeout: (timer: any) => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (fn, ms) => setTimeout(fn, ms).unref(),
  clearTimeout: timer => clearTimeout(timer)
}
