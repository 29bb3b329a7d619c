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
  [{ redis: { get () {} } }, /`rateLimit\.redis` to be a client of ioredis, iovalkey or node-redis/],
  [{ burst: 0 }, /`rateLimit\.burst` to be an integer ≥ 1/],
  [{ cost: -1 }, /`rateLimit\.cost`/],
  [{ policies: [] }, /`rateLimit\.policies` to be a list of 1 to 8 policies/],
  [{ policies: [{ max: 5 }] }, /`rateLimit\.policies\[0\]` to have `timeWindow`/],
  [{ policies: [{ max: 5, timeWindow: 1000, name: 'a"b' }] }, /`rateLimit\.policies\[0\]\.name`/],
  [{ policies: [{ max: 5, timeWindow: 1000 }, { max: 5, timeWindow: '1 s' }] }, /names of `rateLimit\.policies` to differ, got '5\/1s' twice/],
  [{ max: 5, policies: [{ max: 5, timeWindow: 1000 }] }, /`rateLimit\.max` or `rateLimit\.policies`, got both/],
  [{ skipOnError: true, onStoreError: 'local' }, /one of `rateLimit\.skipOnError` and `rateLimit\.onStoreError`/],
  [{ onStoreError: 'fail' }, /`rateLimit\.onStoreError` to be 'local', 'open' or 'closed'/],
  [{ storeTimeout: 0 }, /`rateLimit\.storeTimeout`/],
  [{ instances: 0 }, /`rateLimit\.instances`/],
  [{ headers: 'draft-7' }, /`rateLimit\.headers` to be 'x-ratelimit', 'draft-11' or false/],
  [{ store: class {}, cost: 2 }, /`rateLimit\.cost` needs the memory store or `redis`/],
  [{ store: class {}, redis: { evalSha () {}, eval () {} } }, /one of `rateLimit\.store` and `rateLimit\.redis`/],
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

test('max of a route takes the place of policies and of the burst that belongs to another max', () => {
  const options = readRateLimit({ policies: [{ max: 1, timeWindow: 1000 }] })
  assert.equal(readRoute({ max: 5 }, 'p', options)!.policies, undefined)
  assert.equal(readRoute({ ban: 5 }, 'p', options)!.policies, options.policies)
  const bursting = readRateLimit({ max: 100, burst: 10 })
  assert.equal(readRoute({ max: 5 }, 'p', bursting)!.burst, undefined)
  assert.equal(readRoute({ timeWindow: 5 }, 'p', bursting)!.burst, 10)
})

test('skipOnError is the official name of what onStoreError says', () => {
  assert.equal(readRateLimit({}).onStoreError, 'local')
  assert.equal(readRateLimit({ skipOnError: true }).onStoreError, 'open')
  assert.equal(readRateLimit({ skipOnError: false }).onStoreError, 'closed')
  assert.equal(readRoute({ onStoreError: 'closed' }, 'p', readRateLimit({ skipOnError: true }))!.onStoreError, 'closed')
})

test('a route cannot set what exists once', () => {
  for (const key of ['global', 'redis', 'nameSpace', 'store', 'storeTimeout', 'instances', 'dryRun']) {
    assert.throws(() => readRoute({ [key]: true }, 'config.rateLimit of GET /', readRateLimit({})), { code: 'FST_SURGE_BAD_OPTION', message: /once, in the plugin's options/ })
  }
  for (const bad of [true, 5, 'x', []]) assert.throws(() => readRoute(bad, 'p', readRateLimit({})), { code: 'FST_SURGE_BAD_OPTION' })
})
