// One timer for everything that falls due, which is set to whatever is first. It prevents a timer for each who waits: one that
// left early only lets it go off once for nothing.
import type { Clock } from '../clock.ts'

export class Alarm {
  readonly #clock: Clock
  readonly #ring: (now: number) => void
  #timer: unknown = undefined
  #due = Infinity
  #held = false

  /** `ring` has to set it again, if anything is left. */
  constructor (clock: Clock, ring: (now: number) => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Goes off at `due`, unless it is to go off before. */
  set (due: number, now: number): void {
    if (due >= this.#due) return
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer)
    this.#due = due
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = undefined
      this.#due = Infinity
      this.#ring(this.#clock.now())
    }, Math.max(1, Math.ceil(due - now)))
    if (this.#held) this.#clock.hold(this.#timer, true)
  }

  /** Whether somebody waits for it, who may have no socket that keeps the process alive. */
  hold (on: boolean): void {
    if (on === this.#held) return
    this.#held = on
    if (this.#timer !== undefined) this.#clock.hold(this.#timer, on)
  }
}
