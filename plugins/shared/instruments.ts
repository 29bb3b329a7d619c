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
}

/** By dotted name; a label whose value is undefined is left out. Few values each: never a key, an address or a url. */
export type Labels = Readonly<Record<string, string | number | undefined>>
export type Add = (value: number | Histogram, labels?: Labels) => void

export interface Point { readonly labels: Labels, readonly value: number | Histogram }
export interface Family { readonly instrument: Instrument, readonly points: readonly Point[] }

export class Instruments {
  readonly #sources = new Map<string, { instrument: Instrument, reads: Array<(add: Add) => void> }>()

  /**
   * `read` is called at each scrape and adds one point a set of labels. An instrument that several contexts have is one
   * family; their points stand side by side, and those with the same labels are added up.
   */
  add (instrument: Instrument, read: (add: Add) => void): void {
    const known = this.#sources.get(instrument.name)
    if (known === undefined) this.#sources.set(instrument.name, { instrument, reads: [read] })
    else known.reads.push(read)
  }

  /** All families with at least one point, in the order in which they were added. */
  collect (): Family[] {
    const families: Family[] = []
    for (const { instrument, reads } of this.#sources.values()) {
      const points: Point[] = []
      for (const read of reads) read((value, labels = {}) => { points.push({ labels, value }) })
      if (points.length > 0) families.push({ instrument, points: reads.length === 1 ? points : addUp(points) })
    }
    return families
  }
}

function addUp (points: Point[]): Point[] {
  const sums = new Map<string, { labels: Labels, value: number | Histogram }>()
  for (const { labels, value } of points) {
    const key = JSON.stringify(Object.entries(labels).sort())
    const sum = sums.get(key)
    if (sum === undefined) sums.set(key, { labels, value: typeof value === 'number' ? value : value.copy() })
    else if (typeof value === 'number') (sum.value as number) += value
    else (sum.value as Histogram).merge(value)
  }
  return [...sums.values()]
}

const perServer = new WeakMap<Server, Instruments>()

/** The instruments of this app's server, made by the first plugin that asks. */
export function instrumentsOf (app: FastifyInstance): Instruments {
  let instruments = perServer.get(app.server)
  if (instruments === undefined) perServer.set(app.server, instruments = new Instruments())
  return instruments
}
