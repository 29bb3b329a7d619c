// Which rule finds the limit: goodput as a share of what the best of a sweep of static limits reached on the same arrivals.
// The seeds are none of those that AdaptiveLimit's parameters were chosen on (1 to 25, 101 to 140 and 1001 to 1005).
//
//   node --import tsx bench/overload/simulation/index.ts [--quick] [--seeds 2001,2002] [--rules AdaptiveLimit]
import { parseArgs } from 'node:util'
import { AdaptiveLimit } from '../../../plugins/concurrency/adaptive-limit.ts'
import { FixedLimit, type Limit } from '../../../plugins/shared/gate/limit.ts'
import { progress } from '../../../cli/progress.ts'
import { median } from '../../../cli/statistics.ts'
import { Covariance } from './rules/covariance.ts'
import { Gradient } from './rules/gradient.ts'
import { Vegas } from './rules/vegas.ts'
import { CAPACITY, good, goodInTime, quantile, run, type Phase, type Run } from './run.ts'
import { scenarios } from './scenarios.ts'
import { workloads } from './workloads.ts'

const { values: { quick, seeds, rules: only } } = parseArgs({ options: { quick: { type: 'boolean', default: false }, seeds: { type: 'string' }, rules: { type: 'string' } } })
const SEEDS = seeds?.split(',').map(Number) ?? [2001, 2002, 2003, 2004, 2005].slice(0, quick ? 2 : 5)
const SECONDS = quick ? 10 : 20
const LOADS = [0.6, 1, 2, 5, 10]
const SURGES = [2, 5, 10]
/** Milliseconds at half of the capacity, and at the load. */
const CALM = 400
const SURGE = 1600
const SWEEP = [10, 12, 16, 24, 48, 100]
const candidates: Record<string, () => Limit> = {
  'static 1000': () => new FixedLimit(1000),
  Vegas: () => new Vegas(),
  Gradient2: () => new Gradient(),
  'Gradient2 from 1000': () => new Gradient(1000),
  covariance: () => new Covariance(),
  AdaptiveLimit: () => new AdaptiveLimit({ min: 1, max: 1000, maxWait: 500 })
}
const rules = Object.entries(candidates).filter(([name]) => only === undefined || only.split(',').includes(name))
const names = Object.keys(workloads)
const shares = new Map<string, number[]>()

/** Every rule's share of the best static limit, and its p99, in a cell a workload and load. */
function compare (title: string, loads: readonly number[], once: (workload: string, load: number, seed: number, limit: Limit) => Run, count: (run: Run) => number, from: number): void {
  const cells = new Map<string, { share: number[], p99: number[] }>()
  const show = progress(names.length * loads.length * SEEDS.length, title)
  let done = 0
  for (const name of names) {
    for (const load of loads) {
      for (const seed of SEEDS) {
        const best = Math.max(...SWEEP.map(limit => count(once(name, load, seed, new FixedLimit(limit)))))
        for (const [rule, make] of rules) {
          const result = once(name, load, seed, make())
          const key = `${rule} ${name} ${load}`
          const cell = cells.get(key) ?? { share: [], p99: [] }
          cells.set(key, cell)
          cell.share.push(100 * count(result) / best)
          cell.p99.push(quantile(result, 0.99, from))
          shares.set(rule, [...shares.get(rule) ?? [], 100 * count(result) / best])
        }
        show(++done)
      }
    }
  }
  console.log(`| rule | workload | ${loads.map(load => `${load}×`).join(' | ')} |`)
  console.log(`|---|---|${loads.map(() => '---').join('|')}|`)
  for (const [rule] of rules) {
    for (const name of names) {
      const row = loads.map(load => {
        const { share, p99 } = cells.get(`${rule} ${name} ${load}`)!
        return `${median(share).toFixed(1)} (${Math.min(...share).toFixed(1)}) ${Number.isNaN(median(p99)) ? '–' : median(p99).toFixed(0)}`
      })
      console.log(`| ${rule} | ${name} | ${row.join(' | ')} |`)
    }
  }
  for (const [rule, all] of shares) console.log(`\n${rule}: median ${median(all).toFixed(1)}, worst ${Math.min(...all).toFixed(1)} of ${all.length} runs.`)
  shares.clear()
}

console.log(`Goodput, % of the best static limit: median, (worst) of ${SEEDS.length} seeds, ${SECONDS} s from a cold start; and the median p99 in ms after the first 2 s.\n`)
compare('steady', LOADS, (name, load, seed, limit) => run(workloads[name]!, load * CAPACITY, SECONDS, seed, limit), run => good(run), 2000)

console.log(`\nThe same for ${SURGE / 1000} s of overload from its first moment on, ${CALM} ms of half the capacity before it.\n`)
compare('surge', SURGES, (name, load, seed, limit) => {
  const phases: Phase[] = [{ at: 0, perSecond: CAPACITY / 2 }, { at: CALM, perSecond: load * CAPACITY }]
  return run(workloads[name]!, phases, (CALM + SURGE) / 1000, seed, limit)
}, run => goodInTime(run, CALM, CALM + SURGE), CALM)

console.log('\nWhere something changes at 10 s and back at 20 s, or something is unlike the above: goodput, % of the best static limit (shed).\n')
console.log(`| scenario | ${rules.map(([name]) => name).join(' | ')} | ${rules.at(-1)![0]} within 3 s of the change, and of the way back | later than that | its limit at 10, 20, 30 s |`)
console.log(`|---|${rules.map(() => '---').join('|')}|---|---|---|`)
for (const { name, rate, seconds = 30, patience, workload } of scenarios) {
  const once = (limit: Limit): Run => run(workload, rate, seconds, SEEDS[0]!, limit, patience)
  const swept = [...SWEEP, 1000].map(limit => once(new FixedLimit(limit)))
  const share = (run: Run, from = 0, to = seconds): string => {
    return (100 * good(run, from * 1000, to * 1000) / Math.max(...swept.map(other => good(other, from * 1000, to * 1000)))).toFixed(1)
  }
  const runs = rules.map(([, make]) => once(make()))
  const last = runs.at(-1)!
  const changes = seconds === 30 ? `${share(last, 10, 13)}, ${share(last, 20, 23)} | ${share(last, 13, 20)}, ${share(last, 23, 30)}` : ' | '
  console.log(`| ${name} | ${runs.map(each => `${share(each)} (${each.shed})`).join(' | ')} | ${changes} | ${[99, 199, 299].map(at => last.limits[at]).join(', ')} |`)
}
