// What the rules that lost have in common: the mean of each window, of every claim alike.
import type { Claim, Ending, Limit } from '../../../../plugins/shared/gate/limit.ts'

const WINDOW_MS = 100
const WINDOW_CLAIMS = 20

export abstract class Windowed implements Limit {
  current: number
  readonly adaptive = true
  readonly searching = false
  #end = 0
  #began = 0
  #count = 0
  #sum = 0
  #inflight = 0

  constructor (initial = 20) {
    this.current = initial
  }

  due (): number {
    return Infinity
  }

  waited (): void {}

  ended ({ service, began }: Claim, _ending: Ending, _inflight: number, queued: number, now: number): void {
    this.#count++
    this.#sum += service
    this.#inflight += began
    if (now < this.#end || this.#count < WINDOW_CLAIMS) return
    const inflight = this.#inflight / this.#count
    // Nothing is learned of a limit that nobody reaches.
    if (inflight >= this.current / 2) {
      this.current = Math.max(1, Math.min(1000, Math.round(this.next(this.#sum / this.#count, inflight, this.#count / (now - this.#began), queued > 0))))
    }
    this.#count = this.#sum = this.#inflight = 0
    this.#began = now
    this.#end = now + WINDOW_MS
  }

  /** The limit after a window of so many milliseconds a claim, claims in flight and claims a millisecond. */
  protected abstract next (service: number, inflight: number, throughput: number, waiting: boolean): number
}
