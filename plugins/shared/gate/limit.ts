// How many claims may run at a time: what a gate asks, and what it tells. The algorithm is apart from its enforcement
// (as in Netflix' concurrency-limits), so that a fixed limit and one that adapts are the same thing to a gate.

export interface Limit {
  /** An integer ≥ 1. */
  readonly current: number
  /**
   * A claim has ended that says something of the service: not one that was long-lived, or whose client had left.
   * @param service milliseconds that it ran
   * @param inflight how many ran when it ended, itself included
   * @param queued how many wait
   * @param now the clock's milliseconds
   */
  ended: (service: number, inflight: number, queued: number, now: number) => void
}

export class FixedLimit implements Limit {
  readonly current: number

  constructor (limit: number) {
    this.current = limit
  }

  ended (): void {}
}
