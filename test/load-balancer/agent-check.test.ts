import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AgentCheck, maxconnOf, type AgentState } from '../../plugins/load-balancer/agent-check.ts'

const idle: AgentState = { draining: false, ready: true, utilization: 0, maxconn: undefined }
const MINUTE = 60_000

function weightAt (utilization: number): number {
  return Number(/(\d+)%/.exec(new AgentCheck().line({ ...idle, utilization }, 'lb', 0))![1])
}

test('a line for each state', () => {
  const check = new AgentCheck()
  assert.equal(check.line(idle, 'lb', 0), 'ready up 100%\n')
  assert.equal(check.line({ ...idle, utilization: 0.5, maxconn: 30 }, 'lb', 0), 'ready up 75% maxconn:30\n')
  assert.equal(check.line({ ...idle, ready: false, maxconn: 30 }, 'lb', 0), 'down\n')
  assert.equal(check.line({ ...idle, draining: true, ready: false, maxconn: 30 }, 'lb', 0), 'drain\n')
})

test('ready is said in the first minute of each balancer, so that no maintenance mode of an operator is taken back', () => {
  const check = new AgentCheck()
  assert.match(check.line(idle, 'one', 0), /^ready up/)
  assert.match(check.line(idle, 'one', MINUTE - 1), /^ready up/)
  assert.match(check.line(idle, 'one', MINUTE), /^up/)
  assert.match(check.line(idle, 'two', MINUTE), /^ready up/)
  assert.match(check.line(idle, 'two', 2 * MINUTE), /^up/)
})

test('a number that was told once is taken back by 0, since a balancer keeps it else', () => {
  const check = new AgentCheck()
  assert.doesNotMatch(check.line(idle, 'lb', 0), /maxconn/)
  check.line({ ...idle, maxconn: 5 }, 'lb', 0)
  assert.match(check.line(idle, 'lb', 0), / maxconn:0\n$/)
})

test('a balancer that heard nothing but drain so far is told that it is over', () => {
  const check = new AgentCheck()
  check.line({ ...idle, draining: true }, 'lb', 0)
  assert.match(check.line(idle, 'lb', 5 * MINUTE), /^ready up/)
})

test('addresses without number take no memory without bound', () => {
  const check = new AgentCheck()
  for (let i = 0; i < 1_000; i++) check.line(idle, `peer ${i}`, 0)
  assert.match(check.line(idle, 'peer 1', MINUTE), /^up/)
  check.line(idle, 'one more', MINUTE)
  assert.match(check.line(idle, 'peer 1', MINUTE), /^ready up/)
})

test('weights are whole percents, from 100 for an idle server to 50 for a busy one', () => {
  assert.deepEqual([0, 0.333, 0.5, 1, 1.7].map(weightAt), [100, 83, 75, 50, 50])
})

/** Two equal servers share `load` (of one's capacity) by weight, and tell their next weight: the difference of their shares at the end. */
function differenceAfter (rounds: number, load: number, weightOf: (utilization: number) => number): number {
  let [one, two] = [100, 60]
  for (let i = 0; i < rounds; i++) [one, two] = [weightOf(load * one / (one + two)), weightOf(load * two / (one + two))]
  return Math.abs(one - two) / (one + two)
}

test('weights that follow the load settle, at any load; those in proportion to what is free would not', () => {
  for (let load = 0.1; load < 2; load += 0.1) {
    // Not to nothing, since percents are whole.
    assert.ok(differenceAfter(200, load, weightAt) < 0.05, `at ${load}`)
  }
  assert.ok(differenceAfter(200, 1.5, utilization => Math.max(1, 100 * (1 - utilization))) > 0.5)
})

test('maxconn is one balancer\'s part of what all gates let run, none where a limit finds itself or there is no gate', () => {
  const fixed = (limit: number) => ({ limit, adaptive: false })
  assert.equal(maxconnOf([fixed(30)], 1), 30)
  assert.equal(maxconnOf([fixed(30), fixed(5)], 2), 17)
  assert.equal(maxconnOf([fixed(1)], 4), 1)
  assert.equal(maxconnOf([fixed(30), { limit: 32, adaptive: true }], 1), undefined)
  assert.equal(maxconnOf([], 1), undefined)
})
