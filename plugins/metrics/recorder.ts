// Records a moment of the history each second, with that second's own percentiles and its longest delay of the event loop: a
// window of ten seconds, as scrapers get, would draw a peak as a plateau, and their buckets tell 101 ms from 250 by nothing.
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import type { Instruments } from '../shared/instruments.ts'
import type { History } from './history.ts'

const EVERY_MS = 1_000
const RESOLUTION_MS = 10
/** Microseconds, to two digits. */
const LATENCY = { lowest: 1, highest: 3_600_000_000, figures: 2 }

export class Recorder {
  readonly #history: History
  readonly #instruments: Instruments
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #latency = createHistogram(LATENCY)
  #timer: NodeJS.Timeout | undefined

  constructor (history: History, instruments: Instruments) {
    this.#history = history
    this.#instruments = instruments
  }

  start (): void {
    this.#delay.enable()
    this.#timer = setInterval(() => this.#record(), EVERY_MS).unref()
  }

  /** A good reply is out, this many milliseconds behind its request. */
  replied (latency: number): void {
    this.#latency.record(Math.max(1, Math.round(1_000 * latency)))
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#delay.disable()
  }

  #record (): void {
    const delay = this.#delay
    const latency = this.#latency
    const percentile = (percent: number): number | null => latency.count === 0 ? null : latency.percentile(percent) / 1_000
    this.#history.record(Date.now(), this.#instruments.collect(), {
      latency: { p50: percentile(50), p95: percentile(95), p99: percentile(99) },
      loopDelay: delay.count === 0 ? 0 : Math.max(0, delay.max / 1e6 - RESOLUTION_MS)
    })
    delay.reset()
    latency.reset()
  }
}
