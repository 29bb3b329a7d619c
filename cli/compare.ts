// `fastify-surge compare`: two servers under the same traffic in turn, and whether the second is better.
import { seeded } from './arrivals.ts'
import type { Interval } from './bootstrap.ts'
import { Failure } from './failure.ts'
import type { CompareOptions } from './options.ts'
import { progress } from './progress.ts'
import { assertWritable, type Report } from './report.ts'
import { run } from './run.ts'
import { table } from './table.ts'
import { compare as compareRuns, verdictOf, type Comparison, type Pair, type Verdict } from './verdict.ts'

export async function compare ({ baseline, candidate, rounds, threshold, load, json }: CompareOptions): Promise<Report> {
  await assertWritable(json)
  const pairs: Pair[] = []
  const shown = progress(2 * rounds, 'compare')
  shown(0)
  for (let round = 0, done = 0; round < rounds; round++) {
    const pair: Partial<Pair> = {}
    // A B, B A, A B, …: a drift of the machine meets both alike. A pair has the same traffic.
    for (const side of round % 2 === 0 ? ['baseline', 'candidate'] as const : ['candidate', 'baseline'] as const) {
      pair[side] = await run(side === 'baseline' ? baseline : candidate, load, {}, round)
      shown(++done)
    }
    pairs.push(pair as Pair)
  }
  if (pairs.every(({ baseline }) => baseline.good === 0)) throw new Failure('The baseline had no good reply in any run: there is nothing to compare with.')
  // Half a reply in a run.
  const comparisons = compareRuns(pairs, threshold, load.timeout, 500 / load.duration, seeded(1))
  const verdict = verdictOf(comparisons)
  return {
    text: report(comparisons, verdict, json),
    files: [[json, JSON.stringify({ baseline, candidate, load, threshold, verdict, comparisons, pairs }, null, 2) + '\n']],
    code: verdict === 'drop' ? 1 : 0
  }
}

function report (comparisons: readonly Comparison[], verdict: Verdict, json: string): string {
  const rows = comparisons.map(({ metric, baseline, candidate, change, judgement }) => [metric, value(metric, baseline), value(metric, candidate), percent(change.estimate), interval(change), judgement])
  return [
    table(['', 'baseline', 'candidate', 'change', '95 % interval', ''], rows),
    '',
    `Verdict: ${verdict}`,
    `The figures are in ${json}.`
  ].join('\n')
}

function value (metric: Comparison['metric'], figure: number): string {
  if (Number.isNaN(figure)) return '–'
  if (metric === 'errors') return `${(100 * figure).toFixed(2)} %`
  return `${figure.toFixed(figure < 10 ? 2 : 1)} ${metric === 'throughput' ? '/s' : 'ms'}`
}

/** Of `errors`, percent points. */
function percent (share: number): string {
  return !Number.isFinite(share) ? '–' : `${share < 0 ? '−' : '+'}${(100 * Math.abs(share)).toFixed(1)} %`
}

function interval ({ low, high }: Interval): string {
  return `${percent(low)} to ${percent(high)}`
}
