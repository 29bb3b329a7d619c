// One request's deadline: how much of its time is used, and a signal for whoever works on it. It stands still while the
// request's body is still coming in, so that an upload is not punished for its size.
//
//   remaining = timeout − used − (standing still ? 0 : now − runningSince)
import { Link } from '../shared/line.ts'
import type { Clock } from '../shared/clock.ts'

export abstract class Deadline extends Link {
  /** Milliseconds; Infinity for none. */
  readonly timeout: number
  /** Nothing else keeps the process alive until it is over: its request came over no socket. */
  readonly alone: boolean
  readonly #clock: Clock
  #used = 0
  /** undefined while it stands still. */
  #runningSince: number | undefined
  #abort: AbortController | undefined
  #reason: unknown

  constructor (timeout: number, arrival: number, clock: Clock, alone = false) {
    super()
    this.timeout = timeout
    this.alone = alone
    this.#clock = clock
    this.#runningSince = arrival
  }

  /** The time is up. */
  abstract expired (): void
  /** Asked when it has stood still for a whole timeout: true when the body has moved on meanwhile. */
  abstract moved (): boolean

  get standing (): boolean {
    return this.#runningSince === undefined
  }

  stand (): void {
    if (this.#runningSince === undefined) return
    this.#used += this.#clock.now() - this.#runningSince
    this.#runningSince = undefined
  }

  run (): void {
    this.#runningSince ??= this.#clock.now()
  }

  /** Milliseconds left, never below 0. */
  remaining (now = this.#clock.now()): number {
    const running = this.#runningSince === undefined ? 0 : now - this.#runningSince
    return Math.max(0, this.timeout - this.#used - running)
  }

  /** Made on first use: most requests never ask. */
  get signal (): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#reason !== undefined) this.#abort.abort(this.#reason)
    }
    return this.#abort.signal
  }

  /** Aborts the signal, also one that is asked for later. */
  abort (reason: Error): void {
    this.#reason ??= reason
    this.#abort?.abort(reason)
  }
}
