import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatFor, writeText } from '../../plugins/metrics/prometheus-text.ts'
import { Histogram } from '../../plugins/shared/histogram.ts'
import type { Family } from '../../plugins/shared/instruments.ts'

const wait = new Histogram([0.5, 1])
wait.exemplify(wait.observe(0.7), 0.7, { traceId: 'abc', spanId: 'def' })
wait.observe(3)
wait.exemplars![1] = { ...wait.exemplars![1]!, at: 1_500 }

const families: Family[] = [
  { instrument: { name: 'fastify.compression.saved', type: 'counter', unit: 'By', help: 'Bytes\nsaved' }, points: [{ labels: {}, value: 5 }] },
  { instrument: { name: 'wait.duration', type: 'histogram', unit: 's', help: 'Wait' }, points: [{ labels: { 'http.route': '/a"b\\', none: undefined }, value: wait }] },
  { instrument: { name: 'limit', type: 'gauge', help: 'Limit' }, points: [{ labels: { group: 'a' }, value: Infinity }] }
]

test('Prometheus text', () => {
  assert.equal(writeText(families, 'prometheus'), `# HELP fastify_compression_saved_bytes_total Bytes\\nsaved
# TYPE fastify_compression_saved_bytes_total counter
fastify_compression_saved_bytes_total 5
# HELP wait_duration_seconds Wait
# TYPE wait_duration_seconds histogram
wait_duration_seconds_bucket{http_route="/a\\"b\\\\",le="0.5"} 0
wait_duration_seconds_bucket{http_route="/a\\"b\\\\",le="1"} 1
wait_duration_seconds_bucket{http_route="/a\\"b\\\\",le="+Inf"} 2
wait_duration_seconds_sum{http_route="/a\\"b\\\\"} 3.7
wait_duration_seconds_count{http_route="/a\\"b\\\\"} 2
# HELP limit Limit
# TYPE limit gauge
limit{group="a"} +Inf
`)
})

test('OpenMetrics: units, exemplars, canonical bounds, families without _total, an end', () => {
  assert.equal(writeText(families, 'openmetrics'), `# HELP fastify_compression_saved_bytes Bytes\\nsaved
# TYPE fastify_compression_saved_bytes counter
# UNIT fastify_compression_saved_bytes bytes
fastify_compression_saved_bytes_total 5
# HELP wait_duration_seconds Wait
# TYPE wait_duration_seconds histogram
# UNIT wait_duration_seconds seconds
wait_duration_seconds_bucket{http_route="/a\\"b\\\\",le="0.5"} 0
wait_duration_seconds_bucket{http_route="/a\\"b\\\\",le="1.0"} 1 # {trace_id="abc",span_id="def"} 0.7 1.5
wait_duration_seconds_bucket{http_route="/a\\"b\\\\",le="+Inf"} 2
wait_duration_seconds_sum{http_route="/a\\"b\\\\"} 3.7
wait_duration_seconds_count{http_route="/a\\"b\\\\"} 2
# HELP limit Limit
# TYPE limit gauge
limit{group="a"} +Inf
# EOF
`)
})

test('OpenMetrics where it is wanted', () => {
  assert.equal(formatFor('application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'), 'openmetrics')
  assert.equal(formatFor('text/plain, Application/OpenMetrics-Text'), 'openmetrics')
  for (const accept of [undefined, '', '*/*', 'text/plain', 'application/openmetrics-text; version=1.0.0; q=0', 'application/openmetrics-text;q=x', 'text/plain;q=0.9, application/openmetrics-text;q=0.8', 'x-application/openmetrics-text', ',;q=1,']) assert.equal(formatFor(accept), 'prometheus')
})
