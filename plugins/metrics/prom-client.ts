// Families in the shape in which prom-client and @prometheus-io/client keep theirs, so that one registry can hold both.
// Neither is imported: a metric is anything with a name and a `get()`.
import type { Histogram } from '../shared/histogram.ts'
import type { Instrument, Labels, Point } from '../shared/instruments.ts'
import { labelName, metricName } from './prometheus-text.ts'

/** What is needed of a registry of either client. */
export interface PrometheusRegistry {
  registerMetric: (metric: any) => void
  getSingleMetric: (name: string) => unknown
}

interface Value { labels: Record<string, string | number>, value: number, metricName?: string, exemplar?: { labelSet: Record<string, string>, value: number, timestamp: number } }

export class ForeignMetric {
  /** Writable: a registry takes `_total` off before it writes OpenMetrics, and puts it back itself. */
  name: string
  readonly help: string
  readonly type: string
  readonly aggregator: 'sum' | 'max'
  readonly #read: () => readonly Point[]

  constructor (instrument: Instrument, read: () => readonly Point[]) {
    this.name = metricName(instrument)
    this.help = instrument.help
    this.type = instrument.type
    this.aggregator = instrument.across ?? 'sum'
    this.#read = read
  }

  async get (): Promise<{ name: string, help: string, type: string, aggregator: string, values: Value[] }> {
    const { name, help, type, aggregator } = this
    const values: Value[] = []
    for (const { labels, value } of this.#read()) {
      const named = prometheusLabels(labels)
      if (typeof value === 'number') values.push({ labels: named, value })
      else pushHistogram(values, name, named, value)
    }
    return { name, help, type, aggregator, values }
  }

  /** The counts belong to the server. */
  reset (): void {}
}

function prometheusLabels (labels: Labels): Record<string, string | number> {
  const named: Record<string, string | number> = {}
  for (const [name, value] of Object.entries(labels)) if (value !== undefined) named[labelName(name)] = value
  return named
}

function pushHistogram (values: Value[], name: string, labels: Record<string, string | number>, { bounds, counts, sum, exemplars }: Histogram): void {
  let count = 0
  for (let at = 0; at < counts.length; at++) {
    count += counts[at]!
    const bucket: Value = { labels: { le: at < bounds.length ? bounds[at]! : '+Inf', ...labels }, value: count, metricName: `${name}_bucket` }
    const exemplar = exemplars?.[at]
    if (exemplar !== undefined) bucket.exemplar = { labelSet: { trace_id: exemplar.traceId, span_id: exemplar.spanId }, value: exemplar.value, timestamp: exemplar.at / 1000 }
    values.push(bucket)
  }
  values.push({ labels, value: sum, metricName: `${name}_sum` }, { labels, value: count, metricName: `${name}_count` })
}
