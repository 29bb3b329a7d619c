// The way of a server from its start to its end. Draining tells balancers first and goes on serving while they
// take notice, because a server that refuses at once turns every deployment into errors.
//
//   drain() ─▶ not ready, `Connection: close` ─ drainDelay ─▶ the signal aborts: what lasts had better end
import { setMaxListeners } from 'node:events'
import type { Clock } from '../shared/clock.ts'
import { Draining } from '../shared/errors.ts'

export class Drain {
  #started = false
  #draining: Promise<void> | undefined
  readonly #over = new AbortController()
  readonly #delay: number
  readonly #clock: Clock
  readonly #announce: () => void

  /** `announce` is called once, when draining begins. */
  constructor (delay: number, clock: Clock, announce: () => void) {
    this.#delay = delay
    this.#clock = clock
    this.#announce = announce
    // A listener a stream, and no limit to those: Node would warn of a leak at the eleventh.
    setMaxListeners(0, this.#over.signal)
  }

  start (): void {
    this.#started = true
  }

  get draining (): boolean {
    return this.#draining !== undefined
  }

  /** Started and not draining; load does not count, because a surge would take the whole fleet out at once. */
  get ready (): boolean {
    return this.#started && !this.draining
  }

  /**
   * Aborts when balancers had their time. Not before: a client that is sent away earlier is likely to be sent back here.
   */
  get signal (): AbortSignal {
    return this.#over.signal
  }

  /** Resolves when the balancers had `delay` milliseconds to notice; every call gets the same promise. */
  drain (): Promise<void> {
    if (this.#draining === undefined) {
      this.#draining = new Promise<void>(resolve => {
        if (this.#delay === 0) resolve()
        else this.#clock.hold(this.#clock.setTimeout(resolve, this.#delay), true)
      }).then(() => this.#over.abort(new Draining()))
      this.#announce()
    }
    return this.#draining
  }
}
