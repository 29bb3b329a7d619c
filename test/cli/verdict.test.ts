import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seeded } from '../../cli/arrivals.ts'
import type { Figures } from '../../cli/figures.ts'
import { compare, verdictOf, type Pair } from '../../cli/verdict.ts'

const steady: Figures = { requests: 3_000, good: 300, p50: 5, p95: 20, p99: 40, refused: 0, timedOut: 0, failed: 0, inTime: 1, rss: NaN, loopDelay: NaN }
const random = seeded(11)
/** A share to either side. */
const noise = (share: number): number => Math.exp((random() * 2 - 1) * share)

function noisy (share: number, change: Partial<Record<'good' | 'p95' | 'p99', number>> = {}): Figures {
  const machine = noise(share)
  return { ...steady, good: steady.good * noise(share / 10) * (change.good ?? 1), p95: steady.p95 * machine * (change.p95 ?? 1), p99: steady.p99 * machine * noise(share) * (change.p99 ?? 1) }
}

function judge (pairs: Pair[], threshold = 0.01) {
  const comparisons = compare(pairs, threshold, 1_000, 0.05, random)
  return { verdict: verdictOf(comparisons), judgements: Object.fromEntries(comparisons.map(({ metric, judgement }) => [metric, judgement])), comparisons }
}

function pairs (count: number, candidate: () => Figures, baseline = () => noisy(0.1)): Pair[] {
  return Array.from({ length: count }, () => ({ baseline: baseline(), candidate: candidate() }))
}

test('a latency of two thirds is worth keeping, one of half as much again is not', () => {
  const better = judge(pairs(8, () => noisy(0.1, { p95: 0.67, p99: 0.67 })))
  assert.equal(better.verdict, 'keep')
  assert.deepEqual(better.judgements, { throughput: 'no difference seen', P95: 'better', P99: 'better', errors: 'no difference seen' })
  assert.equal(judge(pairs(8, () => noisy(0.1, { p95: 1.5, p99: 1.5 }))).verdict, 'drop')
})

test('better in one thing and worse in another is to be dropped', () => {
  const { verdict, judgements } = judge(pairs(8, () => noisy(0.1, { good: 0.8, p95: 0.5, p99: 0.5 })))
  assert.deepEqual([verdict, judgements.throughput, judgements.P95], ['drop', 'worse', 'better'])
})

test('a change below the threshold counts for nothing, however sure it is', () => {
  const exactly = (good: number) => (): Figures => ({ ...steady, good })
  assert.equal(judge(pairs(8, exactly(297.5), exactly(300))).verdict, 'inconclusive')
  assert.equal(judge(pairs(8, exactly(297.5), exactly(300)), 0.005).verdict, 'drop')
})

test('errors count in percent points, by any of their kinds', () => {
  const failing = (): Figures => ({ ...steady, refused: 0.01, timedOut: 0.01, failed: 0.01 })
  const { comparisons: [, , , errors] } = judge(pairs(6, failing, () => steady))
  assert.ok(Math.abs(errors!.change.estimate - 0.03) < 1e-9)
  assert.equal(errors!.judgement, 'worse')
})

test('a candidate without one good reply is to be dropped, not to be divided by', () => {
  const dead: Figures = { ...steady, good: 0, p50: NaN, p95: NaN, p99: NaN, failed: 1 }
  assert.deepEqual(judge(pairs(6, () => dead)).judgements, { throughput: 'worse', P95: 'worse', P99: 'worse', errors: 'worse' })
  assert.equal(judge(pairs(6, () => dead, () => dead)).verdict, 'inconclusive')
})

test('one run without a good reply does not hide what the others say', () => {
  const slow = pairs(8, () => noisy(0.1, { p95: 6, p99: 6 }))
  slow[3]!.candidate = { ...steady, good: 0, p50: NaN, p95: NaN, p99: NaN, failed: 1 }
  const { verdict, judgements, comparisons } = judge(slow)
  assert.deepEqual([verdict, judgements.P95, judgements.P99], ['drop', 'worse', 'worse'])
  for (const { change } of comparisons) assert.ok([change.estimate, change.low, change.high].every(Number.isFinite))
})

test('of the same code against itself, most comparisons see nothing', () => {
  let seen = 0
  for (let i = 0; i < 200; i++) if (judge(pairs(8, () => noisy(0.2), () => noisy(0.2))).verdict !== 'inconclusive') seen++
  assert.ok(seen <= 30, `${seen} of 200`)
})
