import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readRateLimit, readRoute } from '../../plugins/rate-limit/options.ts'

const BAD: [input: Record<string, unknown>, says: RegExp][] = [
  [{ maximum: 5 }, /Unknown option `rateLimit\.maximum`/],
  [{ timeWindw: 5 }, /Did you mean `timeWindow`/],
  [{ max: -1 }, /`rateLimit\.max` to be an integer ≥ 0, or a function, got -1/],
  [{ max: NaN }, /`rateLimit\.max`/],
  [{ max: '100' }, /`rateLimit\.max`/],
  [{ timeWindow: 'a minute' }, /`rateLimit\.timeWindow` to be .*'1 minute'.*got 'a minute'/],
  [{ timeWindow: '0 s' }, /`rateLimit\.timeWindow`/],
  [{ timeWindow: '-1 s' }, /`rateLimit\.timeWindow`/],
  [{ timeWindow: -1 }, /`rateLimit\.timeWindow`/],
  [{ hook: 'onSend' }, /`rateLimit\.hook` to be 'onRequest', 'preParsing', 'preValidation' or 'preHandler', got 'onSend'/],
  [{ ipv6Subnet: 129 }, /`rateLimit\.ipv6Subnet`/],
  [{ allowList: '127.0.0.1' }, /`rateLimit\.allowList`/],
  [{ groupId: 123 }, /`rateLimit\.groupId`/],
  [{ ban: -2 }, /`rateLimit\.ban`/],
  [{ cache: 0 }, /`rateLimit\.cache`/],
  [{ redis: { get () {} } }, /`rateLimit\.redis` to be an ioredis client/],
  [{ addHeaders: { 'x-ratelimit-limt': false } }, /Did you mean `x-ratelimit-limit`/]
]

for (const [input, says] of BAD) {
  test(`${Object.keys(input)[0]}: ${JSON.stringify(Object.values(input)[0])} fails`, () => {
    assert.throws(() => readRateLimit(input as any), { code: 'FST_SURGE_BAD_OPTION', message: says })
  })
}

test('timeWindow is milliseconds, whichever way it was given', () => {
  for (const [given, read] of [[0, 0], [1500, 1500], ['1500', 1500], ['2 s', 2_000], ['1 minute', 60_000], ['1h', 3_600_000], ['1 day', 86_400_000], ['0.5 ms', 1]] as const) {
    assert.equal(readRateLimit({ timeWindow: given }).timeWindow, read, String(given))
  }
})

test('max: 0, which admits nobody, is a value and no mistake', () => {
  assert.equal(readRateLimit({ max: 0 }).max, 0)
})

test('a route lays its config over the options of the plugin, header by header', () => {
  const options = readRateLimit({ max: 7, ban: 2, addHeaders: { 'retry-after': false } })
  const quota = readRoute({ timeWindow: '1 s', addHeaders: { 'x-ratelimit-reset': false } }, 'config.rateLimit', options)!
  assert.equal(quota.max, 7)
  assert.equal(quota.ban, 2)
  assert.equal(quota.timeWindow, 1000)
  assert.deepEqual(quota.addHeaders, { 'retry-after': false, 'x-ratelimit-reset': false })
  assert.deepEqual(options.addHeaders, { 'retry-after': false })
})

test('false, and nothing where global is false, mean no limit', () => {
  const options = readRateLimit({})
  assert.equal(readRoute(false, 'p', options), undefined)
  assert.equal(readRoute(undefined, 'p', options), options)
  assert.equal(readRoute(undefined, 'p', readRateLimit({ global: false })), undefined)
  assert.equal(readRoute({ max: 1 }, 'p', readRateLimit({ global: false }))!.max, 1)
})

test('a route cannot set what exists once', () => {
  for (const key of ['global', 'redis', 'nameSpace', 'store', 'dryRun']) {
    assert.throws(() => readRoute({ [key]: true }, 'config.rateLimit of GET /', readRateLimit({})), { code: 'FST_SURGE_BAD_OPTION', message: /once, in the plugin's options/ })
  }
  for (const bad of [true, 5, 'x', []]) assert.throws(() => readRoute(bad, 'p', readRateLimit({})), { code: 'FST_SURGE_BAD_OPTION' })
})
