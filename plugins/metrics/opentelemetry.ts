// Families as an OpenTelemetry SDK takes them from a MetricProducer, cumulative since boot. It imports nothing of
// OpenTelemetry: the numbers of its enumerations are part of its public types.
import type { Histogram } from '../shared/histogram.ts'
import type { Family, Instrument, Labels, Point } from '../shared/instruments.ts'

type HrTime = [seconds: number, nanoseconds: number]

/** What `metricProducers` of a MetricReader takes. */
export interface MetricProducer {
  collect: () => Promise<any>
}

const DOUBLE = 1
const CUMULATIVE = 1
const DATA_POINT = { histogram: 0, gauge: 2, counter: 3 }

/** @param startedAt milliseconds since 1970 @param now the same, at a collection */
export function toMetricProducer (collect: () => readonly Family[], startedAt: number, now: () => number): MetricProducer {
  const startTime = hrTime(startedAt)
  return {
    async collect () {
      const endTime = hrTime(now())
      const metrics = collect().map(({ instrument, points }) => ({
        descriptor: descriptorOf(instrument),
        aggregationTemporality: CUMULATIVE,
        dataPointType: DATA_POINT[instrument.type],
        ...(instrument.type === 'counter' ? { isMonotonic: true } : {}),
        dataPoints: points.map(({ labels, value }: Point) => ({
          startTime,
          endTime,
          attributes: attributesOf(labels),
          value: typeof value === 'number' ? value : histogramOf(value)
        }))
      }))
      // The reader keeps the resource of its own SDK.
      return { resourceMetrics: { resource: { attributes: {} }, scopeMetrics: [{ scope: { name: 'fastify-surge' }, metrics }] }, errors: [] }
    }
  }
}

function descriptorOf ({ name, help, unit, type }: Instrument) {
  return { name, description: help, unit: unit ?? '', type: type.toUpperCase(), valueType: DOUBLE }
}

function attributesOf (labels: Labels): Record<string, string | number> {
  return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== undefined)) as Record<string, string | number>
}

function histogramOf ({ bounds, counts, sum, count }: Histogram) {
  return { buckets: { boundaries: [...bounds], counts: [...counts] }, sum, count }
}

function hrTime (ms: number): HrTime {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)]
}
