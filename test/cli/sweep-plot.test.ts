import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Swept } from '../../cli/figures.ts'
import { plot } from '../../cli/sweep-plot.ts'

const load = { target: { path: '/a?<b>' }, rate: 500, duration: 1, warmUp: 0, timeout: 1, port: 0, metrics: '/metrics' }
const none = { requests: 1, p50: NaN, p95: NaN, p99: NaN, refused: 1, timedOut: 0, failed: 0, inTime: 1, rss: NaN, loopDelay: NaN }

test('all that there is has its place, and what there is not has none', () => {
  const swept: Swept[] = [{ ...none, limit: 1, good: 0 }, { ...none, limit: 10, good: 90, p50: 5, p95: 7, p99: 9 }, { ...none, limit: 20, good: 91, p50: 5, p95: 8, p99: 20, rss: 2 ** 27 }]
  const html = plot(swept, { inflection: 10, recommended: 20, remarks: ['<remark>'] }, load)
  assert.doesNotMatch(html, /NaN|Infinity|undefined/)
  assert.match(html, /recommended: 20/)
  assert.match(html, /inflection: 10/)
  assert.match(html, /resident memory/)
  assert.doesNotMatch(html, /event loop delay/)
  assert.match(html, /GET \/a\?&lt;b>/)
  assert.match(html, /&lt;remark>/)
  assert.equal(html.match(/<circle class="p99"/g)!.length, 2)
  assert.equal(html.match(/<circle class="good"/g)!.length, 3)
})

test('one limit alone, and none that had a good reply', () => {
  for (const swept of [[{ ...none, limit: 5, good: 10, p50: 1, p95: 1, p99: 1 }], [{ ...none, limit: 5, good: 0 }, { ...none, limit: 6, good: 0 }]]) {
    assert.doesNotMatch(plot(swept, { inflection: undefined, recommended: undefined, remarks: [] }, load), /NaN|Infinity|undefined/)
  }
})
