import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measured, verdict, type Limits, type PressureType, type Sample } from '../../plugins/pressure/verdict.ts'

const calm: Sample = { eventLoopDelay: 10, heapUsed: 100, rssBytes: 200, eventLoopUtilized: 0.5 }
const limits: Limits = { maxEventLoopDelay: 10, maxHeapUsedBytes: 100, maxRssBytes: 200, maxEventLoopUtilization: 0.5 }
const off: Limits = { maxEventLoopDelay: false, maxHeapUsedBytes: false, maxRssBytes: false, maxEventLoopUtilization: false }

test('exactly at every limit is no pressure', () => {
  assert.equal(verdict(calm, true, limits), undefined)
})

test('each number past its limit is named, with its value', () => {
  const rows: [Partial<Sample>, PressureType, number][] = [
    [{ eventLoopDelay: 11 }, 'eventLoopDelay', 11],
    [{ heapUsed: 101 }, 'heapUsedBytes', 101],
    [{ rssBytes: 201 }, 'rssBytes', 201],
    [{ eventLoopUtilized: 0.51 }, 'eventLoopUtilization', 0.51]
  ]
  for (const [change, type, value] of rows) {
    const sample = { ...calm, ...change }
    assert.equal(verdict(sample, true, limits), type)
    assert.equal(verdict(sample, true, off), undefined)
    assert.equal(measured(type, sample), value)
  }
})

test('a failed health check is pressure without a number', () => {
  assert.equal(verdict(calm, false, off), 'healthCheck')
  assert.equal(measured('healthCheck', calm), undefined)
})
