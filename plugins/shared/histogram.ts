// Counts of values by upper bound, in plain numbers: what a request costs here is one search of a short list.

/** Seconds, as OpenTelemetry's semantic conventions have them for HTTP. */
export const DURATION_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] as const

/** What a value was part of. */
export interface Trace { readonly traceId: string, readonly spanId: string }
/** One value of a bucket, with the trace that tells how it came about. */
export interface Exemplar extends Trace { readonly value: number, /** Milliseconds since 1970. */ readonly at: number }

export class Histogram {
  /** Ascending; a value counts at the first bound that it does not pass. */
  readonly bounds: readonly number[]
  /** One count a bound, not cumulative, and a last one for what passes all of them. */
  readonly counts: Float64Array
  sum = 0
  /** The last one a bucket; none where nothing is traced. */
  exemplars: Array<Exemplar | undefined> | undefined = undefined

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

  exemplify (bucket: number, value: number, { traceId, spanId }: Trace): void {
    this.exemplars ??= []
    this.exemplars[bucket] = { traceId, spanId, value, at: Date.now() }
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
    this.exemplars ??= other.exemplars?.slice()
  }
}
