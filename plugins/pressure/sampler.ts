// Takes a sample each interval and keeps the last one, so that a request costs a comparison. The loop's delay is a
// 99th percentile: in a mean over a second one block of 300 ms is 10 ms, and nothing is shed.
import type { Clock } from '../shared/clock.ts'
import type { Sample } from './verdict.ts'

/** What is used of perf_hooks' IntervalHistogram, in nanoseconds. */
export interface DelayHistogram {
  readonly count: number
  percentile: (percentile: number) => number
  reset: () => void
}

export interface Sources {
  memory: () => Omit<Sample, 'eventLoopDelay'>
  histogram: DelayHistogram
  /** Milliseconds between the histogram's own ticks, which are part of what it records. */
  resolution: number
}

export class Sampler {
  last: Sample = { eventLoopDelay: 0, heapUsed: 0, rssBytes: 0, eventLoopUtilized: 0 }
  readonly #sources: Sources
  readonly #interval: number
  readonly #clock: Clock
  readonly #taken: (sample: Sample) => void
  #due = 0
  #timer: unknown

  /** `taken` is handed each sample. */
  constructor (sources: Sources, interval: number, clock: Clock, taken: (sample: Sample) => void = () => {}) {
    this.#taken = taken
    this.#sources = sources
    this.#interval = interval
    this.#clock = clock
  }

  start (): void {
    this.#arm()
  }

  stop (): void {
    this.#clock.clearTimeout(this.#timer)
  }

  #arm (): void {
    this.#due = this.#clock.now() + this.#interval
    this.#timer = this.#clock.setTimeout(() => {
      this.#take()
      this.#arm()
    }, this.#interval)
  }

  #take (): void {
    const { memory, histogram, resolution } = this.#sources
    const { heapUsed, rssBytes, eventLoopUtilized } = memory()
    // Without one tick of the histogram the loop stood still all the while; how late this timer is says how long.
    const delay = histogram.count === 0 ? this.#clock.now() - this.#due : histogram.percentile(99) / 1e6 - resolution
    histogram.reset()
    this.last = { eventLoopDelay: Math.max(0, delay), heapUsed, rssBytes, eventLoopUtilized }
    this.#taken(this.last)
  }
}
