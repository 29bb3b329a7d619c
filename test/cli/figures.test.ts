import assert from 'node:assert/strict'
import { test } from 'node:test'
import { figuresOf } from '../../cli/figures.ts'
import { BROKEN, TIMED_OUT } from '../../cli/open-loop.ts'

test('what is due in the part that counts, by what became of it', () => {
  const rows: Array<[due: number, status: number, latency: number, late: number]> = [
    [500, 200, 1, 0], // before
    [1_000, 200, 10, 0], [1_100, 204, 20, 1], [1_200, 304, 30, 21], [1_300, 200, 40, 0],
    [1_400, 503, 5, 0], [1_500, 429, 5, 0], [1_600, TIMED_OUT, 500, 0], [1_700, BROKEN, 5, 0], [1_800, 404, 5, 0], [2_900, 500, 5, 0],
    [3_000, 200, 1, 0] // behind
  ]
  const column = (i: number) => Float64Array.from(rows, row => row[i]!)
  const figures = figuresOf({ due: column(0), status: Int16Array.from(column(1)), latency: column(2), late: column(3) }, 1_000, 3_000)
  assert.deepEqual(figures, { requests: 10, good: 2, p50: 20, p95: 40, p99: 40, refused: 0.2, timedOut: 0.1, failed: 0.3, inTime: 0.9, rss: NaN, loopDelay: NaN })
})

test('nothing due, and nothing good', () => {
  const none = new Float64Array()
  const figures = figuresOf({ due: none, late: none, latency: none, status: new Int16Array() }, 0, 1_000)
  assert.deepEqual([figures.requests, figures.good, figures.p99, figures.failed], [0, 0, NaN, 0])
})
