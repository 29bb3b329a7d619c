// A clock that moves only when a test says so.
import type { Clock } from '../../plugins/shared/clock.ts'

export class FakeClock implements Clock {
  #now = 0
  #timers = new Set<{ fn: () => void, at: number, held: boolean }>()

  now = (): number => this.#now

  setTimeout = (fn: () => void, ms: number): unknown => {
    const timer = { fn, at: this.#now + ms, held: false }
    this.#timers.add(timer)
    return timer
  }

  hold = (timer: any, on: boolean): void => {
    timer.held = on
  }

  clearTimeout = (timer: any): void => {
    this.#timers.delete(timer)
  }

  get timers (): number {
    return this.#timers.size
  }

  /** Timers that keep the process alive. */
  get held (): number {
    return [...this.#timers].filter(({ held }) => held).length
  }

  /** Moves on by `ms`, firing what is due on the way in its order. */
  advance (ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const due = [...this.#timers].filter(timer => timer.at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#now = Math.max(this.#now, due.at)
      due.fn()
    }
    this.#now = end
  }
}
