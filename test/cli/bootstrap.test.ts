import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seeded } from '../../cli/arrivals.ts'
import { meanInterval, normal, studentT } from '../../cli/bootstrap.ts'

test('the tables of the normal and of Student\'s distribution', () => {
  for (const [x, p] of [[0, 0.5], [-1, 0.158655], [-1.959964, 0.025], [-3, 0.00135], [1.644854, 0.95]] as const) assert.ok(Math.abs(normal(x) - p) < 1e-6, `Φ(${x}) = ${normal(x)}`)
  for (const [degrees, t] of [[3, 3.1824], [5, 2.5706], [7, 2.3646], [15, 2.1314], [100, 1.984]] as const) assert.ok(Math.abs(studentT(degrees) / t - 1) < 0.01, `t(${degrees}) = ${studentT(degrees)}`)
})

test('values that are all the same have an interval of no width', () => {
  assert.deepEqual(meanInterval([3, 3, 3, 3, 3, 3], seeded(1)), { estimate: 3, low: 3, high: 3 })
})

test('a value that is not there makes no interval', () => {
  const { estimate, low, high } = meanInterval([1, NaN, 1, 1], seeded(1))
  assert.deepEqual([estimate, low, high], [NaN, NaN, NaN])
})

/** Of experiments whose true mean is 0, the share whose interval holds it. */
function coverage (pairs: number, draw: (random: () => number) => number): number {
  const random = seeded(7)
  const experiments = 400
  let held = 0
  for (let i = 0; i < experiments; i++) {
    const { low, high } = meanInterval(Array.from({ length: pairs }, () => draw(random)), random)
    if (low <= 0 && high >= 0) held++
  }
  return held / experiments
}

const gauss = (random: () => number): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

test('an interval of 95 % holds the truth as often as it says, of few pairs too', () => {
  for (const pairs of [6, 8, 20]) {
    const share = coverage(pairs, gauss)
    assert.ok(share > 0.92 && share < 0.985, `${share} of ${pairs} pairs`)
  }
  const heavy = coverage(8, random => Math.sign(random() - 0.5) * Math.exp(gauss(random)))
  assert.ok(heavy > 0.92, `${heavy} with heavy tails`)
})
