// How many claims may run at a time: what a gate asks, and what it tells. The algorithm is apart from its enforcement
// (as in Netflix' concurrency-limits), so that a fixed limit and one that adapts are the same thing to a gate.

/**
 * Whether a claim's time tells something of the service: that of a failure, or of a reply that lives long, does not. An
 * orphan's does when it is longer than usual: its handler may have given up as well.
 */
export type Ending = 'served' | 'orphaned' | 'untelling'

/** A claim that ran. */
export interface Claim {
  /** When it was admitted, in the clock's milliseconds. */
  readonly started: number
  /** How many ran then, itself included. */
  readonly began: number
  /** A small integer; claims of one kind take about as long. */
  readonly kind: number
  /** Milliseconds that its work took, */
  readonly service: number
  /** of which so many at most are the event loop's, which had yet to hear of its end. */
  readonly lag: number
}

export interface Limit {
  /** An integer ≥ 1. */
  readonly current: number
  /** It finds itself, by how long claims take and by those that wait. */
  readonly adaptive: boolean
  /** It is still looked for: that claims wait for a slot is no sign that they queue for the service. */
  readonly searching: boolean
  /** When `waited` is to be called while somebody waits who came at `oldest`; Infinity for never. */
  due: (oldest: number) => number
  /** Somebody has waited until `due`. */
  waited: (now: number, inflight: number, orphans: number) => void
  /**
   * A claim has ended; its slot is still taken.
   * @param inflight how many run, itself included
   * @param queued how many wait for a slot
   * @param now the clock's milliseconds
   */
  ended: (claim: Claim, ending: Ending, inflight: number, queued: number, now: number) => void
}

export class FixedLimit implements Limit {
  readonly current: number
  readonly adaptive = false
  readonly searching = false

  constructor (limit: number) {
    this.current = limit
  }

  due (): number {
    return Infinity
  }

  waited (): void {}

  ended (): void {}
}
