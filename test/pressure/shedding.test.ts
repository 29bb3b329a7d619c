import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Shedding } from '../../plugins/pressure/shedding.ts'

const OFF = { maxEventLoopDelay: false, maxHeapUsedBytes: false, maxRssBytes: false, maxEventLoopUtilization: false } as const

/** The levels after samples of these values, with a limit of 100. */
function levels (hysteresis: number, ...values: number[]): number[] {
  const shedding = new Shedding({ ...OFF, maxRssBytes: 100 }, hysteresis)
  return values.map(rssBytes => {
    shedding.sampled({ eventLoopDelay: 0, heapUsed: 0, eventLoopUtilized: 0, rssBytes })
    assert.equal(shedding.type, shedding.level === 0 ? undefined : 'rssBytes')
    return shedding.level
  })
}

test('the unimportant go first, all but the critical at the limit, the critical when that did not help', () => {
  assert.deepEqual(levels(0.1, 89, 95, 101, 101, 102, 80), [0, 1, 2, 3, 3, 0])
})

test('whoever was shed comes back below the hysteresis, the critical at once below the limit', () => {
  assert.deepEqual(levels(0.1, 150, 150, 95, 95, 89, 95), [2, 3, 2, 2, 0, 1])
})

test('a value that stays between the two is no reason for ever', () => {
  assert.deepEqual(levels(0.1, 101, ...Array(11).fill(95)), [2, ...Array(9).fill(2), 1, 1])
})

test('without hysteresis the limit is the limit, both ways', () => {
  assert.deepEqual(levels(0, 100, 101, 100), [0, 2, 0])
})

test('who is shed at which level', () => {
  const shedding = new Shedding(OFF, 0)
  const shed = [0, 1, 2, 3].map(level => {
    shedding.level = level
    return ([2, 1, 0] as const).filter(priority => shedding.sheds(priority))
  })
  assert.deepEqual(shed, [[], [2], [2, 1], [2, 1, 0]])
})
