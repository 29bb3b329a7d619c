// What the suite measures. A plugin counts in plain numbers of its own and says here how to read them; nothing happens
// until somebody scrapes. It prevents a metrics client on the way of every request, and plugins that import each other.
import type { Server } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Histogram } from './histogram.ts'

export interface Instrument {
  /** By OpenTelemetry's rules: 'fastify.admission.requests'. Prometheus gets `fastify_admission_requests_total`, the unit before that. */
  readonly name: string
  /** A counter only grows; a gauge is what it is now. */
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** One sentence without its full stop. */
  readonly help: string
  /** Seconds, bytes, or a mere number. */
  readonly unit?: 's' | 'By'
  /** What the values of several processes make together, for clients that add those of a cluster. @default 'sum' */
  readonly across?: 'max'
}

/** By dotted name; a label whose value is undefined is left out. Few values each: never a key, an address or a url. */
export type Labels = Readonly<Record<string, string | number | undefined>>
export type Add = (value: number | Histogram, labels?: Labels) => void

export interface Point { readonly labels: Labels, readonly value: number | Histogram }
export interface Family { readonly instrument: Instrument, readonly points: readonly Point[] }

interface Source { readonly instrument: Instrument, readonly reads: Array<(add: Add) => void> }

export class Instruments {
  readonly #sources = new Map<string, Source>()
  readonly #watchers: Array<(instrument: Instrument) => void> = []

  /**
   * `read` is called at each scrape and adds one point a set of labels. An instrument that several contexts have is one
   * family; their points stand side by side, and those with the same labels are added up.
   */
  add (instrument: Instrument, read: (add: Add) => void): void {
    const known = this.#sources.get(instrument.name)
    if (known !== undefined) {
      known.reads.push(read)
      return
    }
    this.#sources.set(instrument.name, { instrument, reads: [read] })
    for (const watcher of this.#watchers) watcher(instrument)
  }

  /** Calls `watcher` for every instrument, and for each that is added later. */
  watch (watcher: (instrument: Instrument) => void): void {
    this.#watchers.push(watcher)
    for (const { instrument } of this.#sources.values()) watcher(instrument)
  }

  points ({ name }: Instrument): readonly Point[] {
    const source = this.#sources.get(name)
    return source === undefined ? [] : pointsOf(source)
  }

  /** All families with at least one point, in the order in which they were added. */
  collect (): Family[] {
    return [...this.#sources.values()]
      .map(source => ({ instrument: source.instrument, points: pointsOf(source) }))
      .filter(({ points }) => points.length > 0)
  }
}

/** The family as it is now: histograms go on counting. */
export function frozen ({ instrument, points }: Family): Family {
  return { instrument, points: points.map(({ labels, value }) => ({ labels, value: typeof value === 'number' ? value : value.copy() })) }
}

function pointsOf ({ reads }: Source): Point[] {
  const points: Point[] = []
  for (const read of reads) read((value, labels = {}) => { points.push({ labels, value }) })
  return addUp(points)
}

function addUp (points: Point[]): Point[] {
  const sums = new Map<string, Point>()
  for (const point of points) {
    const key = JSON.stringify(Object.entries(point.labels).sort())
    const sum = sums.get(key)
    sums.set(key, sum === undefined ? point : { labels: sum.labels, value: added(sum.value, point.value) })
  }
  return sums.size === points.length ? points : [...sums.values()]
}

function added (one: number | Histogram, other: number | Histogram): number | Histogram {
  if (typeof one === 'number') return one + (other as number)
  const sum = one.copy()
  sum.merge(other as Histogram)
  return sum
}

const perServer = new WeakMap<Server, Instruments>()

/** The instruments of this app's server, made by the first plugin that asks. */
export function instrumentsOf (app: FastifyInstance): Instruments {
  let instruments = perServer.get(app.server)
  if (instruments === undefined) perServer.set(app.server, instruments = new Instruments())
  return instruments
}
