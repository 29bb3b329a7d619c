// Which rule finds the limit: goodput as a share of what the best of a sweep of static limits reached on the same arrivals.
//
//   node --import tsx bench/overload/simulation/index.ts [--quick] [--seeds 1,2,3]
import { parseArgs } from 'node:util'
import { AdaptiveLimit } from '../../../plugins/concurrency/adaptive-limit.ts'
import { progress } from '../../support/progress.ts'
import { median } from '../../support/statistics.ts'
import { Covariance } from './rules/covariance.ts'
import { Gradient } from './rules/gradient.ts'
import { Static, type Rule } from './rules/rule.ts'
import { Vegas } from './rules/vegas.ts'
import { CAPACITY, quantile, run, sum, type Run } from './run.ts'
import { scenarios } from './scenarios.ts'
import { workloads } from './workloads.ts'

const quick = process.argv.includes('--quick')
const { seeds } = parseArgs({ options: { quick: { type: 'boolean' }, seeds: { type: 'string' } } }).values
const SEEDS = seeds?.split(',').map(Number) ?? (quick ? [1, 2] : [1, 2, 3, 4, 5])
const SECONDS = quick ? 10 : 20
const LOADS = [0.6, 1, 2, 5]
const SWEEP = [10, 16, 48, 100]
const rules: Record<string, () => Rule> = {
  'static 1000': () => new Static(1000),
  Vegas: () => new Vegas(),
  Gradient2: () => new Gradient(),
  'Gradient2 from 1000': () => new Gradient(1000),
  covariance: () => new Covariance(),
  AdaptiveLimit: () => new AdaptiveLimit({ min: 1, max: 1000 })
}

interface Cell { share: number[], p99: number[] }

const cells = new Map<string, Cell>()
const names = Object.keys(workloads)
const show = progress(names.length * LOADS.length * SEEDS.length, 'simulating')
let done = 0
for (const name of names) {
  for (const load of LOADS) {
    for (const seed of SEEDS) {
      const once = (rule: Rule): Run => run(workloads[name]!, load * CAPACITY, SECONDS, seed, rule)
      const best = Math.max(...SWEEP.map(limit => sum(once(new Static(limit)).good)))
      for (const [rule, make] of Object.entries(rules)) {
        const { good, latencies } = once(make())
        const key = `${rule} ${name} ${load}`
        const cell = cells.get(key) ?? { share: [], p99: [] }
        cell.share.push(100 * sum(good) / best)
        cell.p99.push(quantile(latencies, 0.99))
        cells.set(key, cell)
      }
      show(++done)
    }
  }
}

console.log(`Goodput, % of the best static limit: median, (worst) of ${SEEDS.length} seeds, ${SECONDS} s from a cold start; and the median p99 in ms after the first 2 s.\n`)
console.log(`| rule | workload | ${LOADS.map(load => `${load}×`).join(' | ')} |`)
console.log(`|---|---|${LOADS.map(() => '---').join('|')}|`)
for (const rule of Object.keys(rules)) {
  for (const name of names) {
    const row = LOADS.map(load => {
      const { share, p99 } = cells.get(`${rule} ${name} ${load}`)!
      return `${median(share).toFixed(1)} (${Math.min(...share).toFixed(1)}) ${Number.isNaN(median(p99)) ? '–' : median(p99).toFixed(0)}`
    })
    console.log(`| ${rule} | ${name} | ${row.join(' | ')} |`)
  }
}

console.log('\nWhere something changes at 10 s and back at 20 s, or something is unlike the above: goodput, % of the best static limit (shed).\n')
console.log(`| scenario | ${Object.keys(rules).join(' | ')} | AdaptiveLimit 3 s after the change, and back | its limit at 10, 20, 30 s |`)
console.log(`|---|${Object.keys(rules).map(() => '---').join('|')}|---|---|`)
for (const { name, rate, seconds = 30, patience, workload } of scenarios) {
  const once = (rule: Rule): Run => run(workload, rate, seconds, 1, rule, patience)
  const swept = [...SWEEP, 1000].map(limit => once(new Static(limit)))
  const share = ({ good }: Run, from = 0, to = seconds): string => {
    const part = (values: readonly number[]): number => sum(values.slice(from, to))
    return (100 * part(good) / Math.max(...swept.map(other => part(other.good)))).toFixed(1)
  }
  const runs = Object.values(rules).map(make => once(make()))
  const adaptive = runs.at(-1)!
  const after = seconds === 30 ? `${share(adaptive, 13, 20)}, ${share(adaptive, 23, 30)}` : ''
  console.log(`| ${name} | ${runs.map(each => `${share(each)} (${each.shed})`).join(' | ')} | ${after} | ${[99, 199, 299].map(at => adaptive.limits[at]).join(', ')} |`)
}
