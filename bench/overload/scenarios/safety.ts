// What a gate must not do: lose slots, refuse where nothing is short, or keep a probe waiting.
import { setTimeout as sleep } from 'node:timers/promises'
import { unusedPort } from '../../../cli/unused-port.ts'
import type { Stream } from '../../support/open-loop.ts'
import { outcomes, percentileOfAll } from '../../support/outcomes.ts'
import { get } from '../../support/request.ts'
import { contest } from '../contest.ts'
import { middle, ms, number, percent, table, verdict, verdicts, voids, type Findings, type Setting } from '../scenario.ts'
import { titles, type VariantName } from '../variants.ts'
import { CAPACITY } from '../workloads.ts'
import { TIMEOUT } from './goodput.ts'

export async function abortStorm ({ generator, quick }: Setting): Promise<Findings> {
  const variants: VariantName[] = ['cap', 'tuned', 'defaults']
  const storm = quick ? 300 : 600
  // Long enough for a backlog of the storm's size to be worked off.
  const quiet = storm * 4
  const calm = 1000
  const impatient = (timeout: number): Stream => ({ request: get('/'), arrivals: [{ perSecond: CAPACITY * 5 / 3, ms: storm }], timeout })
  const readings = await contest('abort-storm', generator, {
    workload: 'downstream',
    variants,
    points: ['storm'],
    rounds: quick ? 1 : 3,
    streams: () => [
      impatient(5),
      impatient(15),
      impatient(40),
      { request: get('/'), arrivals: [{ perSecond: 0, ms: storm + quiet }, { perSecond: CAPACITY * 0.6, ms: calm }], timeout: TIMEOUT }
    ],
    async read (attempts, server) {
      const { good, requests } = outcomes(attempts, { stream: 3 })
      await sleep(100)
      const { inflight, queued, orphans } = await server.ask('gate')
      return { left: inflight + queued + orphans, served: good / requests }
    }
  })
  // The worst of the rounds: one slot that leaks is one too many.
  const left = (variant: VariantName) => worst(readings.of(variant, 'storm').map(({ left }) => left))
  return {
    tables: [
      `Clients that leave after 5, 15 and 40 ms, at 5×; ${quiet / 1000} s of quiet; then 0.6× from patient ones.\n\n` +
      table(['', 'slots and places still taken', 'served afterwards'], variants.map(variant => [titles[variant], number(left(variant)), percent(middle(readings.of(variant, 'storm').map(({ served }) => served)))])),
      ...voids(readings)
    ],
    verdicts: verdicts(readings, ['tuned', 'defaults'], (variant, title) => verdict(`${title}: counters back to 0`, number(left(variant)), [left(variant)], left => left === 0))
  }
}

function worst (values: number[]): number {
  return values.length === 0 ? NaN : Math.max(...values)
}

export async function inFlight500 ({ generator, quick }: Setting): Promise<Findings> {
  const wave = { perSecond: 250, ms: 2000 }
  const readings = await contest('in-flight-500', generator, {
    workload: 'long',
    variants: ['defaults'],
    points: ['waves'],
    rounds: 1,
    // Five seconds later the first wave is being answered: 500 stay in flight.
    streams: () => [{ request: get('/'), arrivals: quick ? [wave] : [wave, { perSecond: 0, ms: 3000 }, wave], timeout: 10_000 }],
    read: attempts => outcomes(attempts)
  })
  const [sum] = readings.of('defaults', 'waves')
  const { requests = NaN, good = NaN, refused = NaN } = sum ?? {}
  return {
    tables: [
      `500 in flight on calls of 5 s: of ${number(requests)} requests ${number(good)} were served and ${number(refused)} refused.`,
      ...voids(readings)
    ],
    verdicts: [verdict(`${titles.defaults}: nothing shed, everybody served`, `${number(refused)} shed, ${number(requests - good)} unserved`, [refused], () => refused === 0 && good === requests)]
  }
}

/** Pending connections, each with a request of its own. */
const PENDING = 500
const PROBES = 10

export async function livez ({ generator, quick, rounds }: Setting): Promise<Findings> {
  const variants: VariantName[] = ['bare', 'tuned', 'defaults', 'own port']
  const probePort = await unusedPort()
  const bursts = quick ? [200] : [200, 1700]
  const paths = ['/io', '/busy']
  const readings = await contest('livez', generator, {
    workload: 'probes',
    variants: variants.slice(0, 3),
    points: paths,
    rounds: Math.min(rounds, 3),
    streams: path => probing(path, bursts),
    read: attempts => percentileOfAll(outcomes(attempts, { stream: 1 }), 0.99)
  })
  const apart = await contest('livez, own port', generator, {
    workload: 'probes',
    variants: ['own port'],
    points: paths,
    rounds: Math.min(rounds, 3),
    facts: { probePort },
    streams: path => probing(path, bursts, probePort),
    read: attempts => percentileOfAll(outcomes(attempts, { stream: 1 }), 0.99)
  })
  const by = (variant: VariantName) => variant === 'own port' ? apart : readings
  const p99 = (variant: VariantName, path: string) => middle(by(variant).of(variant, path))
  const judge = (variant: VariantName, title: string) => paths.map(path => verdict(`${title}, ${path}: /livez p99 ≤ 100 ms`, ms(p99(variant, path)), [p99(variant, path)], p99 => p99 <= 100))
  return {
    tables: [
      `/livez over new connections, right behind ${PENDING} new connections with a request to a downstream (/io) or to a handler that computes for 2 ms (/busy).\n\n` +
      table(['', 'p99 behind /io', 'p99 behind /busy'], variants.map(variant => [titles[variant], ...paths.map(path => by(variant).absent.has(variant) ? 'skipped' : ms(p99(variant, path)))])),
      ...voids(readings), ...voids(apart)
    ],
    verdicts: [...verdicts(readings, ['tuned', 'defaults'], judge), ...verdicts(apart, ['own port'], judge)]
  }
}

/** In each burst all pending ones at once, and the probes in the 20 ms behind them. */
function probing (path: string, bursts: number[], port?: number): Stream[] {
  return [
    { request: get(path), arrivals: { instants: bursts.flatMap(at => Array<number>(PENDING).fill(at)) }, timeout: 5000, fresh: true },
    { request: get('/livez'), arrivals: { instants: bursts.flatMap(at => Array.from({ length: PROBES }, (_, probe) => at + 1 + probe * 2)) }, timeout: 5000, fresh: true, ...(port === undefined ? {} : { port }) }
  ]
}
