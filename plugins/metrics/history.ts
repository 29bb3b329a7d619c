// The last minutes, second by second, for the page: rates from the difference of two collections, and what is measured for
// the page alone, because a scraper's window and buckets are too coarse for it. Kept here and not in the browser, so that who opens the page in an incident sees its beginning.
import type { Histogram } from '../shared/histogram.ts'
import { frozen, type Family, type Point } from '../shared/instruments.ts'

/** Values of one second by chart and series. */
export interface Moment {
  /** Milliseconds since 1970. */
  at: number
  charts: Record<string, Record<string, number | null>>
}

/** What was measured within one second, in milliseconds. */
export interface Second {
  /** Of good replies; null where there were none. */
  latency: Record<'p50' | 'p95' | 'p99', number | null>
  /** The longest delay of the event loop. */
  loopDelay: number
}

const MOMENTS = 300
const MIB = 2 ** 20

export class History {
  readonly #moments: Moment[] = []
  #before: Map<string, Family> | undefined
  #beforeAt = 0

  /** @param at milliseconds since 1970 */
  record (at: number, families: readonly Family[], second: Second): void {
    const now = new Map(families.map(family => [family.instrument.name, family]))
    if (this.#before !== undefined) {
      this.#moments.push({ at, charts: chartsOf(this.#before, now, (at - this.#beforeAt) / 1000, second) })
      if (this.#moments.length > MOMENTS) this.#moments.shift()
    }
    this.#before = new Map(families.map(family => [family.instrument.name, frozen(family)]))
    this.#beforeAt = at
  }

  since (at: number): Moment[] {
    return this.#moments.filter(moment => moment.at > at)
  }
}

/** What did not have to be made or sent: by series the instrument, and the outcome that counts. */
const CACHE = [
  ['hits', 'fastify.compression.cache.hits', undefined],
  ['misses', 'fastify.compression.cache.misses', undefined],
  ['304s', 'fastify.conditional_responses', 'not_modified']
] as const

type Families = ReadonlyMap<string, Family>

function chartsOf (before: Families, now: Families, seconds: number, { latency, loopDelay }: Second): Moment['charts'] {
  const replies: Record<string, number> = { '2xx': 0, '3xx': 0, '4xx': 0, '5xx': 0, 'no reply': 0 }
  for (const { labels, value } of differences(before, now, 'http.server.request.duration')) {
    const status = labels['http.response.status_code'] as number | undefined
    const name = status === undefined ? 'no reply' : `${Math.floor(status / 100)}xx`
    replies[name] = (replies[name] ?? 0) + (value as Histogram).count / seconds
  }
  const refusals: Record<string, number> = {}
  for (const { labels, value } of differences(before, now, 'fastify.refusals')) refusals[`${labels.by}: ${labels.reason}`] = (value as number) / seconds
  const gates: Record<string, number> = {}
  const queues: Record<string, number> = {}
  // A gate that nobody has met yet is a flat line among those that tell something.
  const met = new Set(pointsOf(now, 'fastify.admission.requests').filter(({ value }) => (value as number) > 0).map(({ labels }) => labels.group))
  for (const [name, chart, series] of [['inflight', gates, ''], ['limit', gates, ' limit'], ['queue.depth', queues, '']] as const) {
    for (const { labels, value } of pointsOf(now, `fastify.admission.${name}`)) if (met.has(labels.group)) chart[`${labels.group}${series}`] = value as number
  }
  const cache: Record<string, number> = {}
  for (const [series, name, outcome] of CACHE) {
    for (const { labels, value } of differences(before, now, name)) if (labels.outcome === outcome) cache[series] = (value as number) / seconds
  }
  return {
    replies,
    latency,
    refusals,
    gates,
    queues,
    requests: { requests: total(now, 'http.server.active_requests'), connections: total(now, 'fastify.connections.open') },
    loop: { delay: loopDelay },
    memory: { heap: total(now, 'v8js.memory.heap.used') / MIB, resident: total(now, 'process.memory.usage') / MIB },
    cache
  }
}

function pointsOf (families: Families, name: string): readonly Point[] {
  return families.get(name)?.points ?? []
}

function total (families: Families, name: string): number {
  return pointsOf(families, name).reduce((sum, { value }) => sum + (value as number), 0)
}

function keyOf ({ labels }: Point): string {
  return JSON.stringify(labels)
}

/** What each point has grown by. */
function differences (before: Families, now: Families, name: string): Point[] {
  const old = new Map(pointsOf(before, name).map(point => [keyOf(point), point.value]))
  return pointsOf(now, name).map(point => ({ labels: point.labels, value: minus(point.value, old.get(keyOf(point))) }))
}

function minus (value: number | Histogram, old: number | Histogram | undefined): number | Histogram {
  if (typeof value === 'number') return value - ((old as number | undefined) ?? 0)
  const difference = value.copy()
  if (old !== undefined) for (let at = 0; at < difference.counts.length; at++) difference.counts[at]! -= (old as Histogram).counts[at]!
  return difference
}
