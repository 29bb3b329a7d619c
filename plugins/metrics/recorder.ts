// Records a moment of the history each second, with the longest delay of the event loop in it: a window of ten seconds, as
// scrapers get, would draw a peak as a plateau.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Instruments } from '../shared/instruments.ts'
import type { History } from './history.ts'

const EVERY_MS = 1_000
const RESOLUTION_MS = 10

export class Recorder {
  readonly #history: History
  readonly #instruments: Instruments
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  #timer: NodeJS.Timeout | undefined

  constructor (history: History, instruments: Instruments) {
    this.#history = history
    this.#instruments = instruments
  }

  start (): void {
    this.#delay.enable()
    this.#timer = setInterval(() => this.#record(), EVERY_MS).unref()
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#delay.disable()
  }

  #record (): void {
    const { count, max } = this.#delay
    this.#history.record(Date.now(), this.#instruments.collect(), count === 0 ? 0 : Math.max(0, max / 1e6 - RESOLUTION_MS))
    this.#delay.reset()
  }
}
