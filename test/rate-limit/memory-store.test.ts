import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Claim } from '../../plugins/rate-limit/counter.ts'
import { DebtTable } from '../../plugins/rate-limit/debt-table.ts'
import { Policy, type Decision, type Penalties } from '../../plugins/rate-limit/gcra.ts'
import { KeyedHash } from '../../plugins/rate-limit/keyed-hash.ts'
import { MemoryStore } from '../../plugins/rate-limit/memory-store.ts'
import { FakeClock } from '../support/fake-clock.ts'

const none: Penalties = { ban: -1, continueExceeding: false, exponentialBackoff: false }
const policy = new Policy({ max: 10, window: 60_000 })
const claim = (key: string, policies = [policy]): Claim => ({ key, policies, cost: 1, onStoreError: 'local' })

function setUp (keys = 65_536) {
  const clock = new FakeClock()
  const store = new MemoryStore(keys, clock, new KeyedHash(new Uint32Array([7, 11])))
  const counter = store.counter('a', none)
  const outcomes = (key: string, times: number) => Array.from({ length: times }, () => counter.now(claim(key)).outcome)
  return { clock, store, counter, outcomes }
}

test('clients count apart, and so do counters that share the table', () => {
  const { store, counter, outcomes } = setUp()
  assert.deepEqual(outcomes('x', 11), [...Array(10).fill('admitted'), 'refused'])
  assert.equal(counter.now(claim('y')).outcome, 'admitted')
  assert.equal(store.counter('b', none).now(claim('x')).outcome, 'admitted')
  assert.equal(store.counter('a', none).now(claim('x')).outcome, 'refused', 'a counter of the same name is the same')
})

test('several policies of a client are accounts of their own', () => {
  const { clock, counter } = setUp()
  const policies = [new Policy({ max: 2, window: 1000 }), new Policy({ max: 3, window: 60_000 })]
  const ask = () => counter.now(claim('x', policies)).outcome
  assert.deepEqual([ask(), ask(), ask()], ['admitted', 'admitted', 'refused'])
  clock.advance(1000)
  assert.deepEqual([ask(), ask()], ['admitted', 'refused'])
})

test('65,536 clients take 1 MiB', () => {
  const { slots, tat, strikes } = new DebtTable(65_536)
  assert.equal(slots, 65_536)
  assert.equal(tat.byteLength + strikes.byteLength + slots * 4, 2 ** 20)
  assert.deepEqual([1, 8, 9, 1000].map(keys => new DebtTable(keys).slots), [8, 8, 16, 1024])
})

test('a flood of a million new keys neither grows the table nor frees a debtor', () => {
  const { store, counter, outcomes } = setUp()
  const { slots, tat } = store.table
  const debtors = Array.from({ length: 1000 }, (_, i) => `debtor ${i}`)
  for (const debtor of debtors) outcomes(debtor, 10)
  for (let i = 0; i < 1_000_000; i++) counter.now(claim(`flood ${i}`))
  assert.equal(store.table.slots, slots)
  assert.equal(store.table.tat, tat)
  const freed = debtors.filter(debtor => counter.now(claim(debtor)).outcome === 'admitted')
  assert.deepEqual(freed, [])
})

test('when a set is full the smallest debt goes, and a debt that is paid off before any', () => {
  const table = new DebtTable(8)
  for (let i = 0; i < 8; i++) table.put(-1, 0, i, 100 + i, 0)
  table.put(-1, 0, 99, 60, 0)
  assert.equal(table.find(0, 0, 50), -1)
  assert.notEqual(table.find(0, 99, 50), -1)
  table.put(-1, 0, 100, 1000, 0)
  assert.equal(table.find(0, 99, 70), -1)
  for (let i = 1; i < 8; i++) assert.notEqual(table.find(0, i, 70), -1)
})

test('policies of a client that push each other out of a full set are forgotten, never mixed up', () => {
  const { counter, outcomes } = setUp(8)
  outcomes('y', 5)
  const policies = Array.from({ length: 8 }, (_, i) => new Policy({ max: 10, window: 60_000 * 10 ** i }))
  for (let times = 1; times <= 4; times++) {
    for (const { policy, remaining, reset } of counter.now(claim('x', policies)).levels) {
      assert.ok(remaining >= 10 - times && remaining <= 9, String(remaining))
      assert.ok(Math.abs(reset - (10 - remaining) * policy.interval) < 1, String(reset))
    }
  }
})

test('a debt ends with its time, and the strikes with the debt', () => {
  const { clock, store } = setUp()
  const counter = store.counter('banning', { ...none, ban: 1 })
  const ask = () => counter.now(claim('x', [new Policy({ max: 1, window: 1000 })])).outcome
  assert.deepEqual([ask(), ask()], ['admitted', 'refused'])
  clock.advance(1000)
  assert.deepEqual([ask(), ask(), ask()], ['admitted', 'refused', 'banned'])
})

test('peek writes nothing, charge and refund do, reset forgets', async () => {
  const { counter, outcomes } = setUp()
  const remaining = ({ told }: Decision) => told.remaining
  assert.equal(remaining(await counter.peek(claim('x'))), 10)
  assert.equal(remaining(await counter.add(claim('x'), 7)), 3)
  assert.equal(remaining(await counter.peek(claim('x'))), 3)
  assert.equal(remaining(await counter.add(claim('x'), -2)), 5)
  assert.deepEqual(outcomes('x', 6), [...Array(5).fill('admitted'), 'refused'])
  await counter.reset(claim('x'))
  assert.equal(remaining(await counter.peek(claim('x'))), 10)
})
