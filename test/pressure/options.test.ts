import assert from 'node:assert/strict'
import { test } from 'node:test'
import { getHeapStatistics } from 'node:v8'
import { defaultMaxHeap, readPressure } from '../../plugins/pressure/options.ts'

const MiB = 1024 * 1024

test('the defaults protect without tuning', () => {
  const options = readPressure({})
  assert.equal(options.maxEventLoopDelay, 500)
  assert.equal(options.maxHeapUsedBytes, defaultMaxHeap(getHeapStatistics().heap_size_limit, [...process.execArgv, process.env.NODE_OPTIONS].join(' ')))
  assert.equal(options.maxRssBytes, false)
  assert.equal(options.eventLoopUtilizationMode, 'interval')
})

test('the heap limit is that of the old generation: exact where a flag says it', () => {
  for (const flags of ['--max-old-space-size=160', '--inspect --max_old_space_size=160', '--max-old-space-size 160']) {
    assert.equal(defaultMaxHeap(352 * MiB, flags), 144 * MiB)
  }
})

test('without a flag the young generation is left out of V8\'s limit', () => {
  const young = Number.parseInt(process.versions.v8) < 13 ? 48 : 192
  for (const old of [512, 2048, 4096]) {
    const limit = defaultMaxHeap((old + young) * MiB, '')
    assert.ok(limit < old * MiB && limit > old * MiB * 0.8, `${old}: ${limit / MiB}`)
  }
  assert.ok(defaultMaxHeap(100 * MiB, '') > 20 * MiB, 'never so low that a small process is always past it')
})

test('0 is off, as in @fastify/under-pressure, and so is false', () => {
  const options = readPressure({ maxEventLoopDelay: 0, maxHeapUsedBytes: 0, maxRssBytes: false, maxEventLoopUtilization: 0 })
  assert.deepEqual([options.maxEventLoopDelay, options.maxHeapUsedBytes, options.maxRssBytes, options.maxEventLoopUtilization], [false, false, false, false])
})

for (const [input, says] of [
  [{ maxEventLoopDely: 5 }, /Did you mean `maxEventLoopDelay`/],
  [{ maxEventLoopDelay: '500' }, /`pressure\.maxEventLoopDelay` to be a number ≥ 0, or false, got '500'/],
  [{ maxEventLoopUtilization: 98 }, /`pressure\.maxEventLoopUtilization` to be a number from 0 to 1/],
  [{ maxHeapUsedBytes: -1 }, /`pressure\.maxHeapUsedBytes`/],
  [{ sampleInterval: 5 }, /`pressure\.sampleInterval`/],
  [{ retryAfter: 0 }, /`pressure\.retryAfter`/],
  [{ customError: 'no' }, /`pressure\.customError`/],
  [{ exposeStatusRoute: 'status' }, /`pressure\.exposeStatusRoute`/],
  [{ exposeStatusRoute: { uri: '/s' } }, /`pressure\.exposeStatusRoute\.uri`/],
  [{ healthCheck: async () => true }, /`pressure\.healthCheck` is never called/]
] as [any, RegExp][]) {
  test(`${Object.keys(input)[0]}: ${JSON.stringify(Object.values(input)[0])} fails`, () => {
    assert.throws(() => readPressure(input), { code: 'FST_SURGE_BAD_OPTION', message: says })
  })
}
