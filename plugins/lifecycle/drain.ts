// The way of a server from its start to its end. Draining tells balancers first and goes on serving while they
// take notice, because a server that refuses at once turns every deployment into errors.
import type { Clock } from '../shared/clock.ts'

export class Drain {
  #started = false
  #draining: Promise<void> | undefined
  readonly #delay: number
  readonly #clock: Clock
  readonly #announce: () => void

  /** `announce` is called once, when draining begins. */
  constructor (delay: number, clock: Clock, announce: () => void) {
    this.#delay = delay
    this.#clock = clock
    this.#announce = announce
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

  /** Resolves when the balancers had `delay` milliseconds to notice; every call gets the same promise. */
  drain (): Promise<void> {
    if (this.#draining === undefined) {
      this.#draining = new Promise(resolve => {
        if (this.#delay === 0) resolve()
        else this.#clock.setTimeout(resolve, this.#delay)
      })
      this.#announce()
    }
    return this.#draining
  }
}
