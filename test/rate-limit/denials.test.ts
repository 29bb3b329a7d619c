import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Denials } from '../../plugins/rate-limit/denials.ts'
import { describe, Policy } from '../../plugins/rate-limit/gcra.ts'
import { FakeClock } from '../support/fake-clock.ts'

const policies = [new Policy({ max: 1, window: 1000 }), new Policy({ max: 100, window: 60_000 })]
const refused = describe('refused', policies, [{ debt: 1000 }, { debt: 6000 }], 0, 1000)

test('a refusal holds until its wait is over, with what is left of it', () => {
  const clock = new FakeClock()
  const denials = new Denials(clock)
  denials.add('k', 1, refused)
  assert.equal(denials.get('other', 1, policies), undefined)
  clock.advance(400)
  const known = denials.get('k', 1, policies)!
  assert.deepEqual([known.outcome, known.wait, known.told.reset, known.told.policy], ['refused', 600, 600, policies[0]])
  assert.equal(known.levels[1]!.reset, 5600)
  clock.advance(600)
  assert.equal(denials.get('k', 1, policies), undefined)
  assert.equal(denials.size, 0)
})

test('what costs less may still be admitted', () => {
  const denials = new Denials(new FakeClock())
  denials.add('k', 5, refused)
  assert.equal(denials.get('k', 4, policies), undefined)
  assert.notEqual(denials.get('k', 6, policies), undefined)
})

test('ten thousand at most: the oldest goes', () => {
  const denials = new Denials(new FakeClock())
  for (let i = 0; i <= 10_000; i++) denials.add(`k${i}`, 1, refused)
  assert.equal(denials.size, 10_000)
  assert.equal(denials.get('k0', 1, policies), undefined)
  assert.notEqual(denials.get('k1', 1, policies), undefined)
})
