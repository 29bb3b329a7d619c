// The limit that nobody chose: against the best of a sweep of static ones, over workloads that are unlike each other, and
// behind a service that becomes slower and is itself again.
import type { Stream } from '../../support/open-loop.ts'
import { outcomes } from '../../support/outcomes.ts'
import { get } from '../../support/request.ts'
import { contest, type Readings } from '../contest.ts'
import { middle, ms, number, percent, table, verdict, voids, type Findings, type Setting } from '../scenario.ts'
import { titles, type VariantName } from '../variants.ts'
import { CAPACITY, ITSELF_AT, SLOWER_AT, type WorkloadName } from '../workloads.ts'
import { CALM, costs, goodput, TIMEOUT, type Goodput } from './goodput.ts'

const SWEEP: VariantName[] = ['limit 10', 'limit 16', 'limit 32', 'limit 64']
const LOADS = [2, 5]
/** Where the loop is the limit, its capacity is measured. */
const WORKLOADS: WorkloadName[] = ['downstream', 'lognormal', 'bimodal', 'mixed', 'cpu', 'cpu and io']
const ON_THE_LOOP: WorkloadName[] = ['cpu', 'cpu and io']

/** Half of the capacity, then `load` times. */
function surge (workload: WorkloadName, capacity: number, load: number, length: number): Stream[] {
  const paths: Array<[string, number]> = workload === 'mixed' ? [['/', 0.8], ['/slow', 0.2]] : [['/', 1]]
  return paths.map(([path, share]) => ({
    request: get(path), arrivals: [{ perSecond: share * capacity / 2, ms: CALM }, { perSecond: share * capacity * load, ms: length }], timeout: TIMEOUT
  }))
}

export async function sweep ({ generator, quick, rounds }: Setting): Promise<Findings> {
  const length = quick ? 1600 : 3000
  const variants: VariantName[] = [...SWEEP, 'defaults']
  const shares: number[] = []
  const rows: string[][] = []
  let voided = 0
  for (const workload of WORKLOADS) {
    const capacity = ON_THE_LOOP.includes(workload) ? 1e6 / (await costs(workload, {}, 400, 4)).reply : CAPACITY
    const readings: Readings<number, Goodput> = await contest(workload, generator, {
      workload,
      variants,
      points: LOADS,
      rounds: Math.min(rounds, 3),
      streams: load => surge(workload, capacity, load, length),
      read: attempts => goodput(outcomes(attempts, { from: CALM, to: CALM + length }), length)
    })
    voided += readings.voids
    for (const load of LOADS) {
      const good = (variant: VariantName): number => middle(readings.of(variant, load).map(({ good }) => good))
      const best = SWEEP.reduce((best, variant) => good(variant) > good(best) ? variant : best)
      const share = good('defaults') / good(best)
      shares.push(share)
      const p99 = (variant: VariantName): string => ms(middle(readings.of(variant, load).map(({ p99 }) => p99)))
      rows.push([workload, `${load}×`, ...SWEEP.map(variant => `${number(good(variant))}, ${p99(variant)}`), `${number(good('defaults'))}, ${p99('defaults')}`, percent(share)])
    }
  }
  const worst = Math.min(...shares)
  return {
    tables: [
      'Good replies a second and p99, from the first moment of the overload on.\n\n' +
      table(['', '', ...SWEEP, 'defaults', 'of the best'], rows),
      ...voids({ voids: voided } as Readings<any, any>)
    ],
    verdicts: [
      verdict('defaults: median ≥ 95 % of the best static limit', percent(middle(shares)), shares, () => middle(shares) >= 0.95),
      verdict('defaults: worst ≥ 90 % of the best static limit', percent(worst), shares, () => worst >= 0.9)
    ]
  }
}

/** Milliseconds in which a step has to be followed, and that it is watched for then. */
const FOLLOWED_WITHIN = 3000
const WATCH = 2000

export async function serviceStep ({ generator, rounds }: Setting): Promise<Findings> {
  const variants: VariantName[] = ['tuned', 'defaults']
  const windows = [
    { title: 'before', from: SLOWER_AT - WATCH, capacity: CAPACITY },
    { title: 'service × 2, within 3 s', from: SLOWER_AT, capacity: CAPACITY / 2, length: FOLLOWED_WITHIN },
    { title: '… then', from: SLOWER_AT + FOLLOWED_WITHIN, capacity: CAPACITY / 2 },
    { title: 'itself again, within 3 s', from: ITSELF_AT, capacity: CAPACITY, length: FOLLOWED_WITHIN },
    { title: '… then', from: ITSELF_AT + FOLLOWED_WITHIN, capacity: CAPACITY }
  ].map(window => ({ length: WATCH, ...window }))
  const readings = await contest('service-step', generator, {
    workload: 'stepping',
    variants,
    points: [2],
    rounds: Math.min(rounds, 3),
    streams: load => [{ request: get('/'), arrivals: [{ perSecond: CAPACITY * load, ms: ITSELF_AT + FOLLOWED_WITHIN + WATCH }], timeout: TIMEOUT }],
    // What was asked before a window and answered in it makes up for what was asked in it and answered later.
    read: attempts => windows.map(({ from, length, capacity }) => outcomes(attempts, { from, to: from + length }).good / length * 1000 / capacity)
  })
  const share = (variant: VariantName, window: number): number => middle(readings.of(variant, 2).map(shares => shares[window]!))
  return {
    tables: [
      `2× load; the downstream takes 40 ms instead of 20 from ${SLOWER_AT / 1000} to ${ITSELF_AT / 1000} s. Good replies, % of what it can do.\n\n` +
      table(['', ...windows.map(({ title }) => title)], variants.map(variant => [titles[variant], ...windows.map((_, window) => percent(share(variant, window)))])),
      ...voids(readings)
    ],
    verdicts: [2, 4].map(window => {
      const reached = share('defaults', window)
      return verdict(`defaults: ≥ 95 % of the capacity from 3 s behind the step on, ${window === 2 ? 'there' : 'and back'}`, percent(reached), [reached], reached => reached >= 0.95)
    })
  }
}
