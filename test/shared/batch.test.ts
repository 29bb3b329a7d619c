import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test } from 'node:test'
import { Batch } from '../../plugins/shared/batch.ts'

function batch () {
  const done: number[] = []
  const ends: Array<() => void> = []
  const items = new Batch<number>(item => { done.push(item) }, end => { ends.push(end) })
  const add = (from: number, count: number, now = 0) => { for (let item = from; item < from + count; item++) items.add(item, now) }
  return { done, ends, items, add, end: () => ends.shift()!() }
}

test('what comes up in an iteration is done behind its intake, in order', () => {
  const { done, ends, add, end } = batch()
  add(0, 15)
  assert.deepEqual(done, [])
  assert.equal(ends.length, 1)
  end()
  assert.deepEqual(done, [...Array(15).keys()])
  assert.equal(ends.length, 0)
})

test('sixteen are done at once, and what is left behind the intake', () => {
  const { done, ends, add, end } = batch()
  add(0, 16)
  assert.equal(done.length, 16)
  add(16, 17)
  assert.equal(done.length, 32)
  assert.equal(ends.length, 1)
  end()
  assert.deepEqual(done, [...Array(33).keys()])
})

test('what the work itself brings up is of the next batch, and none is done twice', () => {
  const done: number[] = []
  const ends: Array<() => void> = []
  const items: Batch<number> = new Batch(item => {
    done.push(item)
    if (item < 100) items.add(item + 100, 0)
  }, end => { ends.push(end) })
  for (let item = 0; item < 16; item++) items.add(item, 0)
  while (ends.length > 0) ends.shift()!()
  assert.deepEqual(done.sort((a, b) => a - b), [...Array(16).keys(), ...Array.from(Array(16).keys(), item => item + 100)])
})

test('what has waited for more than 2 ms is done before what may take long, and no sooner', () => {
  const { done, items, add, end } = batch()
  add(0, 3, 100)
  items.catchUp(102)
  assert.deepEqual(done, [])
  items.catchUp(102.5)
  assert.deepEqual(done, [0, 1, 2])
  add(3, 1, 103)
  items.catchUp(104)
  assert.equal(done.length, 3)
  end()
  assert.deepEqual(done, [0, 1, 2, 3])
})

test('each is done in the async context that it came up in', () => {
  const context = new AsyncLocalStorage<number>()
  const seen: Array<[number, number | undefined]> = []
  const ends: Array<() => void> = []
  const items = new Batch<number>(item => { seen.push([item, context.getStore()]) }, end => { ends.push(end) })
  for (let item = 0; item < 20; item++) context.run(item, () => items.add(item, 0))
  ends.shift()!()
  assert.deepEqual(seen, Array.from({ length: 20 }, (_, item) => [item, item]))
})
