// Time as a parameter: cores take a Clock, so that their tests move it by hand instead of sleeping.
// Monotonic: a step of the wall clock must lengthen no penalty and fire no deadline.
import { performance } from 'node:perf_hooks'

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  now: () => number
  /** Calls `fn` once after `ms`. Does not keep the process alive unless it is held. */
  setTimeout: (fn: () => void, ms: number) => unknown
  /** Keeps the process alive until the timer goes off, or no longer: for who waits for that alone, with no socket that would keep it alive. */
  hold: (timer: any, on: boolean) => void
  clearTimeout: (timer: any) => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (fn, ms) => setTimeout(fn, ms).unref(),
  hold: (timer: NodeJS.Timeout, on) => { if (on) timer.ref(); else timer.unref() },
  clearTimeout: timer => clearTimeout(timer)
}
