// How sure a difference is: bootstrap intervals of paired runs.
//
// Resampled are the pairs, a baseline and a candidate that ran one after the other, since runs differ far more than the requests in
// them: another process of the same code may be a fifth slower. Of few pairs a percentile interval is too narrow, so its
// percentiles are moved outwards until they would be right for a normal mean (the expanded percentile interval of
// T. Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 5.2):
//
//   α′ / 2 = Φ( −√(n / (n − 1)) × t(α / 2, n − 1) )
import { percentile } from './statistics.ts'

export interface Interval { estimate: number, low: number, high: number }

const RESAMPLES = 10_000
/** For 95 %. */
const Z = 1.959964

/** The mean of one value a pair, with its 95 % interval, of 6 pairs or more: it lies within the values, which hold the mean of 4 in 7 of 8 cases only. */
export function meanInterval (values: readonly number[], random: () => number): Interval {
  // Sorted, they would only seem to be behind all others.
  if (values.some(Number.isNaN)) return { estimate: NaN, low: NaN, high: NaN }
  const n = values.length
  const means = new Float64Array(RESAMPLES)
  for (let i = 0; i < RESAMPLES; i++) {
    let sum = 0
    for (let k = 0; k < n; k++) sum += values[Math.floor(random() * n)]!
    means[i] = sum / n
  }
  means.sort()
  const tail = normal(-Math.sqrt(n / (n - 1)) * studentT(n - 1))
  return { estimate: values.reduce((sum, value) => sum + value, 0) / n, low: percentile(means, tail), high: percentile(means, 1 - tail) }
}

/** The 97.5th percentile of Student's t, by Abramowitz and Stegun 26.7.5; within 1 % from 3 degrees of freedom on. */
export function studentT (degrees: number): number {
  const z = Z
  return z +
    (z ** 3 + z) / (4 * degrees) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * degrees ** 3) +
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / (92160 * degrees ** 4)
}

/** The normal distribution, by Abramowitz and Stegun 26.2.17; within 1e-7. */
export function normal (x: number): number {
  if (x > 0) return 1 - normal(-x)
  const t = 1 / (1 - 0.2316419 * x)
  const density = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI)
  return density * t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
}
