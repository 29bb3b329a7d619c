// Permits that come back with time: a token bucket, kept as one number by the generic cell rate algorithm (GCRA,
// ITU-T I.371 annex A). Who has to wait takes its token when it is admitted, so one that gives up has none to give back.
//
//   T = 1000 / perSecond        tat' = max(now, tat) + T        wait = tat' − burst·T − now

export interface Rate {
  /** Permits a second, > 0. */
  perSecond: number
  /** Permits that may be taken at once after a pause. An integer ≥ 1. */
  burst: number
}

export class TokenBucket {
  readonly #interval: number
  readonly #tolerance: number
  /** The theoretical arrival time of the next permit. */
  #tat = -Infinity

  constructor ({ perSecond, burst }: Rate) {
    this.#interval = 1000 / perSecond
    this.#tolerance = this.#interval * burst
  }

  /** Milliseconds until the next permit is there, when `ahead` others take theirs before. */
  wait (now: number, ahead = 0): number {
    return Math.max(now, this.#tat) + this.#interval * (ahead + 1) - this.#tolerance - now
  }

  /** Takes a permit if there is one now. */
  take (now: number): boolean {
    if (this.wait(now) > 0) return false
    this.#tat = Math.max(now, this.#tat) + this.#interval
    return true
  }
}
