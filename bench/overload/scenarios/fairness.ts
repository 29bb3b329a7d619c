// Who suffers: whether a flood takes what matters more, other clients or other routes down with it.
import type { Stream } from '../../support/open-loop.ts'
import { outcomes, percentileOfAll } from '../../support/outcomes.ts'
import { get } from '../../support/request.ts'
import { contest } from '../contest.ts'
import { middle, ms, number, percent, table, verdict, verdicts, voids, type Findings, type Setting } from '../scenario.ts'
import { titles, type VariantName } from '../variants.ts'
import { CAPACITY, FLOODED_CAPACITY } from '../workloads.ts'
import { TIMEOUT } from './goodput.ts'

const VARIANTS: VariantName[] = ['bare', 'tuned', 'defaults']
const OURS: VariantName[] = ['tuned', 'defaults']
const CALM = 400

function steady (request: string, perSecond: number, length: number): Stream {
  return { request, arrivals: [{ perSecond, ms: CALM + length }], timeout: TIMEOUT }
}

function flood (request: string, perSecond: number, length: number): Stream {
  return { request, arrivals: [{ perSecond: 0, ms: CALM }, { perSecond, ms: length }], timeout: TIMEOUT }
}

export async function priorities ({ generator, quick, rounds }: Setting): Promise<Findings> {
  const length = quick ? 1200 : 2000
  const readings = await contest('priorities', generator, {
    workload: 'priorities',
    variants: VARIANTS,
    points: [12],
    rounds: Math.min(rounds, 3),
    streams: load => [steady(get('/critical'), FLOODED_CAPACITY * 0.4, length), flood(get('/low'), FLOODED_CAPACITY * load, length)],
    read (attempts) {
      const critical = outcomes(attempts, { from: CALM, stream: 0 })
      const low = outcomes(attempts, { from: CALM, stream: 1 })
      return { critical: critical.good / critical.requests, p99: percentileOfAll(critical, 0.99), low: low.good / length * 1000 }
    }
  })
  const of = (variant: VariantName, key: 'critical' | 'p99' | 'low') => middle(readings.of(variant, 12).map(reading => reading[key]))
  return {
    tables: [
      `${FLOODED_CAPACITY * 0.4}/s critical, and low priority at 12× the capacity.\n\n` +
      table(['', 'critical good', 'critical p99', 'low good/s'], VARIANTS.map(variant => [titles[variant], percent(of(variant, 'critical'), 2), ms(of(variant, 'p99')), number(of(variant, 'low'))])),
      ...voids(readings)
    ],
    verdicts: verdicts(readings, OURS, (variant, title) => verdict(`${title}: critical ≥ 99.9 %`, percent(of(variant, 'critical'), 2), [of(variant, 'critical')], share => share >= 0.999))
  }
}

export async function oneClient ({ generator, quick, rounds }: Setting): Promise<Findings> {
  const length = quick ? 1200 : 2000
  const others = 9
  const each = FLOODED_CAPACITY * 0.05
  const variants: VariantName[] = ['bare', 'tuned', 'defaults']
  const readings = await contest('one-client', generator, {
    workload: 'clients',
    variants,
    points: [10],
    rounds: Math.min(rounds, 3),
    streams: load => [
      flood(get('/', 'X-Client: greedy\r\n'), FLOODED_CAPACITY * load, length),
      ...Array.from({ length: others }, (_, client) => steady(get('/', `X-Client: client-${client}\r\n`), each, length))
    ],
    read (attempts) {
      const all = Array.from({ length: others }, (_, client) => outcomes(attempts, { from: CALM, stream: client + 1 }))
      return all.reduce((sum, { good }) => sum + good, 0) / all.reduce((sum, { requests }) => sum + requests, 0)
    }
  })
  const share = (variant: VariantName) => middle(readings.of(variant, 10))
  return {
    tables: [
      `One client at 10× the capacity among ${others} of ${each}/s.\n\n` +
      table(['', 'the others good'], variants.map(variant => [titles[variant], readings.absent.has(variant) ? 'skipped' : percent(share(variant))])),
      ...voids(readings)
    ],
    // Nobody can tell clients apart by default, so only the tuned gate is held to it.
    verdicts: verdicts(readings, ['tuned'], (variant, title) => verdict(`${title}: others ≥ 99 %`, percent(share(variant)), [share(variant)], share => share >= 0.99))
  }
}

export async function slowDownstream ({ generator, quick, rounds }: Setting): Promise<Findings> {
  const calm = quick ? 800 : 1500
  const length = quick ? 2500 : 3000
  const readings = await contest('slow-downstream', generator, {
    workload: 'slow',
    variants: VARIANTS,
    points: ['slow'],
    rounds: Math.min(rounds, 3),
    streams: () => [
      { request: get('/'), arrivals: [{ perSecond: CAPACITY * 0.5, ms: calm + length }], timeout: TIMEOUT },
      { request: get('/slow'), arrivals: [{ perSecond: 0, ms: calm }, { perSecond: CAPACITY, ms: length }], timeout: TIMEOUT }
    ],
    read (attempts) {
      const before = percentileOfAll(outcomes(attempts, { to: calm, stream: 0 }), 0.99)
      const during = percentileOfAll(outcomes(attempts, { from: calm, stream: 0 }), 0.99)
      return { before, during, ratio: during / before }
    }
  })
  const of = (variant: VariantName, key: 'before' | 'during' | 'ratio') => middle(readings.of(variant, 'slow').map(reading => reading[key]))
  return {
    tables: [
      `${CAPACITY}/s to a route whose downstream takes 2 s, ${CAPACITY * 0.5}/s to another that is well.\n\n` +
      table(['', 'p99 of the other before', 'during', 'ratio'], VARIANTS.map(variant => [titles[variant], ms(of(variant, 'before')), ms(of(variant, 'during')), number(of(variant, 'ratio'), 2)])),
      ...voids(readings)
    ],
    verdicts: verdicts(readings, OURS, (variant, title) => verdict(`${title}: other routes' p99 ≤ 1.2×`, `${number(of(variant, 'ratio'), 2)}×`, [of(variant, 'ratio')], ratio => ratio <= 1.2))
  }
}
