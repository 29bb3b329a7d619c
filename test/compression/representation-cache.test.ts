import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ENTRY_OVERHEAD_BYTES, RepresentationCache, type Encoded } from '../../plugins/compression/representation-cache.ts'

function cacheOf (entries: number, entryBytes = 100) {
  return new RepresentationCache({ maxBytes: entries * (entryBytes + ENTRY_OVERHEAD_BYTES), maxEntryBytes: entryBytes })
}

function keep (cache: RepresentationCache, key: string, bytes = Buffer.alloc(100, key)) {
  cache.offer(key, bytes)
  cache.offer(key, bytes)
}

test('a body is kept from its second use on', () => {
  const cache = cacheOf(10)
  cache.offer('a', Buffer.from('first'))
  assert.equal(cache.get('a'), undefined)
  assert.equal(cache.stats.entries, 0)
  cache.offer('a', Buffer.from('again'))
  assert.equal(cache.get('a')?.toString(), 'again')
  assert.deepEqual(cache.stats, { entries: 1, bytes: 5 + ENTRY_OVERHEAD_BYTES, hits: 1, misses: 1, pending: 0 })
})

test('the least recently used entry goes first', () => {
  const cache = cacheOf(3)
  for (const key of ['a', 'b', 'c']) keep(cache, key)
  cache.get('a')
  keep(cache, 'd')
  assert.equal(cache.get('b'), undefined)
  for (const key of ['a', 'c', 'd']) assert.notEqual(cache.get(key), undefined, key)
})

test('an entry above maxEntryBytes, or above the whole cache, is not kept and evicts nobody', () => {
  const cache = cacheOf(2)
  keep(cache, 'a')
  keep(cache, 'large', Buffer.alloc(101))
  assert.equal(cache.get('large'), undefined)
  assert.notEqual(cache.get('a'), undefined)
  const none = new RepresentationCache({ maxBytes: 0, maxEntryBytes: 1000 })
  keep(none, 'a')
  assert.equal(none.stats.bytes, 0)
})

test('an entry holds its own bytes, not the chunk of zlib that they are a slice of', () => {
  const cache = cacheOf(10)
  keep(cache, 'a', Buffer.alloc(16 * 1024, 'z').subarray(0, 100))
  assert.equal(cache.get('a')!.buffer.byteLength, 100)
  assert.equal(cache.get('a')!.toString(), 'z'.repeat(100))
})

test('concurrent uses share one compression, and count as two uses', () => {
  const cache = cacheOf(10)
  const seen: Array<[string, Buffer | undefined]> = []
  const hears = (name: string): Encoded => (_error, bytes) => seen.push([name, bytes])
  let settle!: Encoded
  assert.equal(cache.join('a', hears('nobody')), false)
  cache.share('a', hears('first'), callback => { settle = callback })
  assert.equal(cache.join('a', hears('second')), true)
  assert.equal(cache.join('b', hears('other')), false)
  assert.equal(cache.stats.pending, 1)

  const bytes = Buffer.from('encoded')
  settle(null, bytes)
  assert.deepEqual(seen, [['first', bytes], ['second', bytes]])
  assert.equal(cache.stats.pending, 0)
  assert.equal(cache.get('a')?.toString(), 'encoded')
})

test('a compression that fails is told to all, and the next use starts anew', () => {
  const cache = cacheOf(10)
  const errors: unknown[] = []
  let settle!: Encoded
  cache.share('a', error => errors.push(error), callback => { settle = callback })
  cache.join('a', error => errors.push(error))
  const broken = new Error('broken')
  settle(broken, undefined)
  assert.deepEqual(errors, [broken, broken])
  assert.equal(cache.join('a', () => {}), false)
  assert.equal(cache.stats.entries, 0)
})

test('a flood of bodies that come once leaves the kept ones alone', () => {
  const cache = cacheOf(2)
  keep(cache, 'kept')
  for (let i = 0; i < 20_000; i++) cache.offer(`once ${i}`, Buffer.alloc(100))
  assert.equal(cache.stats.entries, 1)
  assert.notEqual(cache.get('kept'), undefined)
})

test('never holds more than maxBytes, counts what it holds, and never mixes keys', () => {
  const use = fc.record({ key: fc.integer({ min: 0, max: 12 }), length: fc.integer({ min: 0, max: 120 }), get: fc.boolean() })
  fc.assert(fc.property(fc.array(use, { maxLength: 200 }), uses => {
    const cache = cacheOf(4)
    const maxBytes = 4 * (100 + ENTRY_OVERHEAD_BYTES)
    for (const { key, length, get } of uses) {
      if (get) {
        const held = cache.get(String(key))
        if (held !== undefined) assert.ok(held.every(byte => byte === key))
      } else {
        cache.offer(String(key), Buffer.alloc(length, key))
      }
      assert.ok(cache.stats.bytes <= maxBytes)
      assert.ok(cache.stats.bytes >= cache.stats.entries * ENTRY_OVERHEAD_BYTES)
      if (cache.stats.entries === 0) assert.equal(cache.stats.bytes, 0)
    }
  }))
})
