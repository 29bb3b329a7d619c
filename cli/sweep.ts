// `fastify-surge sweep`: the same traffic against each limit, and which of them to choose.
import type { Figures, Swept } from './figures.ts'
import { advise, type Advice } from './knee.ts'
import type { SweepOptions } from './options.ts'
import { progress } from './progress.ts'
import { assertWritable, type Report } from './report.ts'
import { run } from './run.ts'
import { median } from './statistics.ts'
import { plot } from './sweep-plot.ts'
import { table } from './table.ts'

/** @throws Failure */
export async function sweep ({ server, limits, rounds, load, html, json }: SweepOptions): Promise<Report> {
  await assertWritable(html, json)
  const runs = new Map<number, Figures[]>(limits.map(limit => [limit, []]))
  const shown = progress(limits.length * rounds, 'sweep')
  shown(0)
  for (let round = 0, done = 0; round < rounds; round++) {
    // There and back, so that what drifts meets the small and the large ones alike.
    for (const limit of round % 2 === 0 ? limits : [...limits].reverse()) {
      runs.get(limit)!.push(await run(server, load, { SURGE_LIMIT: String(limit) }, round))
      shown(++done)
    }
  }
  const swept = limits.map(limit => ({ limit, ...medians(runs.get(limit)!) }))
  // Not the rate: arrivals are random, and some more or fewer.
  const advice = advise(swept, swept[0]!.requests / load.duration * 1_000)
  return {
    text: report(swept, advice, html),
    files: [[html, plot(swept, advice, load)], ...json === undefined ? [] : [[json, JSON.stringify({ load, rounds, ...advice, limits: swept }, null, 2) + '\n'] as [string, string]]],
    code: advice.recommended === undefined ? 2 : 0
  }
}

function medians (figures: readonly Figures[]): Figures {
  return Object.fromEntries(Object.keys(figures[0]!).map(key => [key, median(figures.map(one => one[key as keyof Figures]))])) as unknown as Figures
}

function report (swept: readonly Swept[], { inflection, recommended, remarks }: Advice, html: string): string {
  const rows = swept.map(({ limit, good, p50, p95, p99, refused, timedOut, failed, rss, loopDelay }) => [
    `${limit}`, fixed(good), fixed(p50), fixed(p95), fixed(p99), percent(refused), percent(timedOut), percent(failed), fixed(rss / 2 ** 20), fixed(loopDelay),
    [limit === recommended && 'recommended', limit === inflection && 'inflection'].filter(Boolean).join(', ')
  ])
  return [
    table(['limit', 'good/s', 'P50 ms', 'P95 ms', 'P99 ms', 'refused', 'too late', 'failed', 'RSS MiB', 'loop P99 ms', ''], rows),
    '',
    ...recommended === undefined ? [] : [`Recommended: concurrency: { limit: ${recommended} }`],
    ...remarks,
    `The plot is in ${html}.`
  ].join('\n')
}

function fixed (value: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(value < 10 ? 1 : 0)
}

function percent (share: number): string {
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`
}
