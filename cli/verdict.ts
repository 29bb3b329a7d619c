// Whether a change is worth keeping, from the runs before and after it.
import { meanInterval, type Interval } from './bootstrap.ts'
import type { Figures } from './figures.ts'
import { median } from './statistics.ts'

export type Judgement = 'better' | 'worse' | 'no difference seen'
export type Verdict = 'keep' | 'drop' | 'inconclusive'

export interface Comparison {
  metric: 'throughput' | 'P95' | 'P99' | 'errors'
  /** Medians of the runs: good replies a second, milliseconds, or a share of the requests. */
  baseline: number
  candidate: number
  /** Candidate against baseline: ratio − 1, of `errors` the difference of the shares. */
  change: Interval
  judgement: Judgement
}

export interface Pair { baseline: Figures, candidate: Figures }

const METRICS: Array<{ metric: Comparison['metric'], of: (figures: Figures) => number, more: 'better' | 'worse', share?: true }> = [
  { metric: 'throughput', of: ({ good }) => good, more: 'better' },
  { metric: 'P95', of: ({ p95 }) => p95, more: 'worse' },
  { metric: 'P99', of: ({ p99 }) => p99, more: 'worse' },
  { metric: 'errors', of: ({ refused, timedOut, failed }) => refused + timedOut + failed, more: 'worse', share: true }
]

/**
 * @param threshold the least change that counts, as a share
 * @param timeout milliseconds: the latency of a run without a good reply
 * @param least good replies a second: those of a run without one, whose logarithm would outweigh all others
 */
export function compare (pairs: readonly Pair[], threshold: number, timeout: number, least: number, random: () => number): Comparison[] {
  return METRICS.map(({ metric, of, more, share }) => {
    const read = (figures: Figures): number => {
      const value = of(figures)
      if (share) return value
      return metric === 'throughput' ? Math.max(least, value) : Number.isNaN(value) ? timeout : value
    }
    const [baselines, candidates] = [pairs.map(({ baseline }) => read(baseline)), pairs.map(({ candidate }) => read(candidate))]
    const change = share
      ? meanInterval(candidates.map((candidate, i) => candidate - baselines[i]!), random)
      : ratio(meanInterval(candidates.map((candidate, i) => Math.log(candidate / baselines[i]!)), random))
    return { metric, baseline: median(baselines), candidate: median(candidates), change, judgement: judge(change, more, threshold) }
  })
}

function ratio ({ estimate, low, high }: Interval): Interval {
  return { estimate: Math.expm1(estimate), low: Math.expm1(low), high: Math.expm1(high) }
}

function judge ({ estimate, low, high }: Interval, more: 'better' | 'worse', threshold: number): Judgement {
  if (!(Math.abs(estimate) >= threshold) || (low <= 0 && high >= 0)) return 'no difference seen'
  return (estimate > 0) === (more === 'better') ? 'better' : 'worse'
}

/** Keep what makes something better and nothing worse; drop what makes anything worse. */
export function verdictOf (comparisons: readonly Comparison[]): Verdict {
  if (comparisons.some(({ judgement }) => judgement === 'worse')) return 'drop'
  return comparisons.some(({ judgement }) => judgement === 'better') ? 'keep' : 'inconclusive'
}
