import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describe, Policy } from '../../plugins/rate-limit/gcra.ts'
import { QuotaHeaders, type HeaderChoice } from '../../plugins/rate-limit/quota-headers.ts'

const defaults: HeaderChoice = { headers: 'x-ratelimit', enableDraftSpec: false, addHeaders: {}, addHeadersOnExceeding: {} }

const second = new Policy({ name: '10/1s', max: 10, window: 1000 })
const hour = new Policy({ name: '1000/1h', max: 1000, window: 3_600_000 })
/** 3 requests of 10, and 500 of 1,000, are used. */
const admitted = describe('admitted', [second, hour], [{ debt: 300 }, { debt: 1_800_000 }], -1, 0)
const refused = describe('refused', [second, hour], [{ debt: 1000 }, { debt: 1_800_000 }], 0, 1100)

function written (choice: Partial<HeaderChoice>, decision = admitted): Record<string, string> {
  return new QuotaHeaders({ ...defaults, ...choice }).write({}, decision)
}

test('x-ratelimit-*: the policy that has the least left; of a refusal the one that refuses, and its wait', () => {
  assert.deepEqual(written({}), { 'x-ratelimit-limit': '10', 'x-ratelimit-remaining': '7', 'x-ratelimit-reset': '1' })
  assert.deepEqual(written({}, refused), { 'x-ratelimit-limit': '10', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '2' })
})

test('each header can be switched off, admitted and refused apart', () => {
  const addHeaders = { 'retry-after': false, 'x-ratelimit-limit': false }
  const addHeadersOnExceeding = { 'x-ratelimit-reset': false }
  assert.deepEqual(Object.keys(written({ addHeaders, addHeadersOnExceeding })), ['x-ratelimit-limit', 'x-ratelimit-remaining'])
  assert.deepEqual(Object.keys(written({ addHeaders, addHeadersOnExceeding }, refused)), ['x-ratelimit-remaining', 'x-ratelimit-reset'])
  assert.equal(new QuotaHeaders({ ...defaults, addHeaders }).retryAfter, false)
  assert.equal(new QuotaHeaders(defaults).retryAfter, true)
})

test('enableDraftSpec takes the x- away, also from the switches', () => {
  const choice = { enableDraftSpec: true, addHeadersOnExceeding: { 'ratelimit-remaining': false, 'x-ratelimit-limit': false } }
  assert.deepEqual(Object.keys(written(choice)), ['ratelimit-limit', 'ratelimit-reset'])
})

test('draft-11: every policy as a List of Strings with parameters', () => {
  assert.deepEqual(written({ headers: 'draft-11' }), {
    'ratelimit-policy': '"10/1s";q=10;w=1, "1000/1h";q=1000;w=3600',
    ratelimit: '"10/1s";r=7;t=1, "1000/1h";r=500;t=1800'
  })
  assert.equal(written({ headers: 'draft-11' }, refused).ratelimit, '"10/1s";r=0;t=2, "1000/1h";r=500;t=1800')
  const one = describe('admitted', [new Policy({ max: 100, window: 60_000 })], [{ debt: 30_000 }], -1, 0)
  assert.deepEqual(written({ headers: 'draft-11' }, one), { 'ratelimit-policy': '"default";q=100;w=60', ratelimit: '"default";r=50;t=30' })
})

test('draft-11: a window below a second has no integer of seconds, and is left out', () => {
  const fast = describe('admitted', [new Policy({ max: 5, window: 100 })], [{ debt: 20 }], -1, 0)
  assert.deepEqual(written({ headers: 'draft-11' }, fast), { 'ratelimit-policy': '"default";q=5', ratelimit: '"default";r=4;t=1' })
})

test('headers: false sends none', () => {
  assert.deepEqual(written({ headers: false }), {})
  assert.deepEqual(written({ headers: false }, refused), {})
})
