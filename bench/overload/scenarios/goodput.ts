// Goodput past the limit: against a downstream that is slow, one that is as fast as the server, and a handler that computes.
import type { Stream } from '../../support/open-loop.ts'
import { percentile } from '../../../cli/statistics.ts'
import { outcomes, type Outcomes } from '../../support/outcomes.ts'
import { get } from '../../support/request.ts'
import { Contender, contest, type Readings } from '../contest.ts'
import { middle, ms, number, percent, table, verdict, verdicts, voids, type Findings, type Setting } from '../scenario.ts'
import { titles, type VariantName } from '../variants.ts'
import { CAPACITY, type Facts, type WorkloadName } from '../workloads.ts'

export const TIMEOUT = 500
const EVERYBODY: VariantName[] = ['bare', 'under-pressure', 'cap', 'tuned', 'defaults']
const OURS: VariantName[] = ['tuned', 'defaults']

export interface Goodput { good: number, share: number, p50: number, p95: number, p99: number, refusal: number, timedOut: number, prompt: number }

/** Half of the capacity, so that the server is at work, then `load` times; measured from the step on. */
function surge (capacity: number, load: number, calm: number, length: number): Stream[] {
  return [{ request: get('/'), arrivals: [{ perSecond: capacity / 2, ms: calm }, { perSecond: capacity * load, ms: length }], timeout: TIMEOUT }]
}

/** Milliseconds before the step. */
export const CALM = 400
const PROMPT = 100

export function goodput (sum: Outcomes, length: number): Goodput {
  const { good, goodInTime, requests, refusals, timedOut } = sum
  return {
    good: goodInTime / length * 1000,
    share: good / requests,
    p50: percentile(sum.latencies, 0.5),
    p95: percentile(sum.latencies, 0.95),
    p99: percentile(sum.latencies, 0.99),
    refusal: percentile(refusals, 0.99),
    timedOut: timedOut / requests,
    prompt: refusals.filter(latency => latency <= PROMPT).length / (requests - good)
  }
}

const HEAD = ['', 'good/s', 'p50', 'p95', 'p99', '503 p99', 'timed out']

function row (title: string, readings: Goodput[]): string[] {
  const of = (key: keyof Goodput) => middle(readings.map(reading => reading[key]))
  return [title, number(of('good')), ms(of('p50')), ms(of('p95')), ms(of('p99')), ms(of('refusal')), percent(of('timedOut'))]
}

function tables<Point> (readings: Readings<Point, Goodput>, variants: VariantName[], points: readonly Point[], title: (point: Point) => string): string[] {
  return points.map(point => `**${title(point)}**\n\n${table(HEAD, variants.map(variant => row(titles[variant], readings.of(variant, point))))}`)
}

export async function downstream ({ generator, quick, rounds }: Setting): Promise<Findings> {
  const loads = quick ? [0.6, 2, 5] : [0.6, 1, 2, 5, 10]
  const length = quick ? 1200 : 1600
  const readings = await contest('downstream', generator, {
    workload: 'downstream',
    variants: EVERYBODY,
    points: loads,
    rounds,
    streams: load => surge(CAPACITY, load, CALM, length),
    read: attempts => goodput(outcomes(attempts, { from: CALM, to: CALM + length }), length)
  })
  const of = (variant: VariantName, load: number, key: keyof Goodput) => middle(readings.of(variant, load).map(reading => reading[key]))
  return {
    tables: [...tables(readings, EVERYBODY, loads, load => `${load}×, ${CAPACITY * load}/s offered`), ...voids(readings)],
    verdicts: [
      verdict('tuned, 0.6×: ≥ 99.5 % good', percent(of('tuned', 0.6, 'share')), [of('tuned', 0.6, 'share')], share => share >= 0.995),
      ...([[2, 490, 80], [5, 480, 130]] as const).map(([load, good, p99]) =>
        verdict(`tuned, ${load}×: ≥ ${good}/s good, p99 ≤ ${p99} ms`, `${number(of('tuned', load, 'good'))}/s, ${ms(of('tuned', load, 'p99'))}`, [of('tuned', load, 'good'), of('tuned', load, 'p99')], (a, b) => a >= good && b <= p99)),
      verdict('tuned, 10×: ≥ 90 % of the capacity', percent(of('tuned', 10, 'good') / CAPACITY), [of('tuned', 10, 'good')], good => good >= 0.9 * CAPACITY),
      verdict('defaults, 0.6×: ≥ 99.5 % good', percent(of('defaults', 0.6, 'share')), [of('defaults', 0.6, 'share')], share => share >= 0.995),
      ...[2, 5].map(load => {
        const share = of('defaults', load, 'good') / CAPACITY
        return verdict(`defaults, ${load}×: ≥ 93 % of the capacity`, `${percent(share)}, p99 ${ms(of('defaults', load, 'p99'))}`, [share], share => share >= 0.93)
      })
    ],
    curves: EVERYBODY.map(variant => ({ variant, points: loads.map(load => ({ offered: CAPACITY * load, good: readings.of(variant, load).map(({ good }) => good) })) }))
  }
}

interface Costs { reply: number, refusal: number, rho: number }

/** CPU of a reply and of a refusal of fastify-surge, in microseconds. */
export async function costs (workload: WorkloadName, facts: Facts, requests: number, connections: number): Promise<Costs> {
  const server = await Contender.start(workload, 'no pressure')
  const opened = await server.open(facts)
  if (opened.unknown !== undefined) throw new Error(opened.unknown)
  await server.warmUp(opened.port)
  const loop = { path: '/', requests, connections }
  await server.cost(opened.port, loop)
  const reply = await server.cost(opened.port, loop)
  await server.ask('refuse')
  await server.cost(opened.port, { ...loop, requests: 3000, status: 503 })
  const refusal = await server.cost(opened.port, { ...loop, requests: 6000, status: 503 })
  await server.ask('close')
  server.end()
  return { reply, refusal, rho: refusal / reply }
}

/** What a server whose CPU is its limit can serve at `load` times of it, having to refuse the rest: (1−Nρ)/(1−ρ). */
function bound (load: number, rho: number): number {
  if (load <= 1) return load
  return Math.max(0, (1 - load * rho) / (1 - rho))
}

function figures ({ reply, refusal, rho }: Costs): string {
  return `CPU of a reply ${number(reply)} µs, of a refusal ${number(refusal)} µs: ρ = ${number(rho, 2)}.`
}

async function helloWorld (): Promise<number> {
  const server = await Contender.start('hello', 'bare')
  const opened = await server.open({})
  if (opened.unknown !== undefined) throw new Error(opened.unknown)
  await server.warmUp(opened.port)
  const cost = await server.cost(opened.port, { path: '/hello', requests: 10_000, connections: 10 })
  server.end()
  return 1e6 / cost
}

const CLOSE_TO_BOUND = 0.9

/** Connections that keep a downstream busy that is fast: with fewer, a reply would be charged with iterations in which nothing is due. */
const BUSY = 40

export async function fastDownstream ({ generator, quick, rounds }: Setting): Promise<Findings> {
  const loads = [2, 3, 5]
  const length = quick ? 1000 : 1500
  const hello = await helloWorld()
  const perSecond = Math.round(hello * 0.3)
  const facts = { perSecond }
  const paid = await costs('fast', facts, 20_000, BUSY)
  // The CPU's own limit, in replies a second; the downstream's is another.
  const limit = 1e6 / paid.reply
  const best = (load: number) => Math.min(perSecond, bound(perSecond * load / limit, paid.rho) * limit)
  const variants: VariantName[] = ['bare', 'tuned', 'defaults']
  const readings = await contest('fast-downstream', generator, {
    workload: 'fast',
    variants,
    points: loads,
    rounds: Math.min(rounds, 3),
    rehearsals: 2,
    facts,
    streams: load => surge(perSecond, load, CALM, length),
    read: attempts => goodput(outcomes(attempts, { from: CALM, to: CALM + length }), length)
  })
  return {
    tables: [
      `Hello-world: ${number(hello)}/s by its CPU time; the downstream's capacity: ${perSecond}/s. ${figures(paid)} Bound: ${loads.map(load => `${number(best(load))}/s at ${load}×`).join(', ')}.`,
      ...tables(readings, variants, loads, load => `${load}×, ${perSecond * load}/s offered`),
      ...voids(readings)
    ],
    verdicts: verdicts(readings, OURS, (variant, title) => loads.map(load => {
      const good = middle(readings.of(variant, load).map(({ good }) => good))
      // A bound of 0 is met by anybody.
      const atBest = best(load) || NaN
      return verdict(`${title}, ${load}×: ≥ 90 % of the bound ${number(best(load))}/s`, `${number(good)}/s`, [good, atBest], good => good >= atBest * CLOSE_TO_BOUND)
    }))
  }
}

interface Crowd { load: number, /** Connections that are open before. */ connections: number }

export async function cpu ({ generator, quick, rounds }: Setting): Promise<Findings> {
  // A turn of a loop that takes in whatever came is 200 ms long with 100 connections, within what clients wait, and 800 with 400.
  const points: Crowd[] = [100, 400].flatMap(connections => [2, 5].map(load => ({ load, connections })))
  const length = quick ? 1200 : 2000
  const paid = await costs('cpu', {}, 1500, 4)
  const capacity = 1e6 / paid.reply
  const variants: VariantName[] = ['bare', 'tuned', 'defaults']
  const readings = await contest('cpu', generator, {
    workload: 'cpu',
    variants,
    points,
    rounds: Math.min(rounds, 3),
    rehearsals: 6,
    connections: ({ connections }) => connections,
    streams: ({ load }) => surge(capacity, load, CALM, length),
    read: attempts => goodput(outcomes(attempts, { from: CALM, to: CALM + length }), length)
  })
  const of = (variant: VariantName, point: Crowd, key: keyof Goodput) => middle(readings.of(variant, point).map(reading => reading[key]))
  return {
    tables: [
      `${figures(paid)} Capacity: ${number(capacity)}/s. Bound: ${[2, 5].map(load => `${number(bound(load, paid.rho) * capacity)}/s at ${load}×`).join(', ')}.`,
      ...points.map(point => `**${point.load}×, ${point.connections} connections**\n\n${table([...HEAD, `unserved that got their 503 within ${PROMPT} ms`], variants.map(variant => [...row(titles[variant], readings.of(variant, point)), percent(of(variant, point, 'prompt'))]))}`),
      ...voids(readings)
    ],
    verdicts: verdicts(readings, OURS, (variant, title) => points.flatMap(point => {
      const best = bound(point.load, paid.rho) * capacity
      const good = of(variant, point, 'good')
      const bare = of('bare', point, 'good')
      const prompt = of(variant, point, 'prompt')
      const where = `${title}, ${point.load}×, ${point.connections} connections`
      return [
        verdict(`${where}: ≥ 90 % of the bound ${number(best)}/s`, `${number(good)}/s`, [good], good => good >= best * CLOSE_TO_BOUND),
        verdict(`${where}: no less than bare Fastify's ${number(bare)}/s`, `${number(good)}/s`, [good, bare], (good, bare) => good >= bare),
        verdict(`${where}: 80 % of the unserved have their 503 within ${PROMPT} ms`, percent(prompt), [prompt], prompt => prompt >= 0.8)
      ]
    }))
  }
}
