// Counts of values by upper bound, in plain numbers: what a request costs here is one search of a short list.

/** Seconds, as OpenTelemetry's semantic conventions have them for HTTP. */
export const DURATION_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] as const

export class Histogram {
  /** Ascending; a value counts at the first bound that it does not pass. */
  readonly bounds: readonly number[]
  /** One count a bound, not cumulative, and a last one for what passes all of them. */
  readonly counts: Float64Array
  sum = 0

  constructor (bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  /** The index of the bucket that took the value. */
  observe (value: number): number {
    const { bounds } = this
    let at = 0
    // Most values are small, so this ends early; halving a list of 14 is slower.
    while (at < bounds.length && value > bounds[at]!) at++
    this.counts[at]!++
    this.sum += value
    return at
  }

  get count (): number {
    let count = 0
    for (const one of this.counts) count += one
    return count
  }

  copy (): Histogram {
    const copy = new Histogram(this.bounds)
    copy.merge(this)
    return copy
  }

  /** Takes in another one of the same bounds. */
  merge (other: Histogram): void {
    for (let at = 0; at < this.counts.length; at++) this.counts[at]! += other.counts[at]!
    this.sum += other.sum
  }
}
