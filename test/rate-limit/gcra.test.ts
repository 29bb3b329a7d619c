import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decide, enter, look, Policy, type Account, type Decision, type Penalties } from '../../plugins/rate-limit/gcra.ts'

const none: Penalties = { ban: -1, continueExceeding: false, exponentialBackoff: false }

/** One client over time. */
class Client {
  readonly accounts: Account[]
  readonly #policies: Policy[]
  readonly #penalties: Penalties

  constructor (policies: Policy[], penalties = none) {
    this.#policies = policies
    this.#penalties = penalties
    this.accounts = policies.map(() => ({ debt: 0, strikes: 0 }))
  }

  pass (ms: number): void {
    for (const account of this.accounts) {
      account.debt = Math.max(0, account.debt - ms)
      if (account.debt === 0) account.strikes = 0
    }
  }

  ask (cost = 1): Decision {
    return decide(this.#policies, cost, this.#penalties, this.accounts)
  }

  look (): Decision {
    return look(this.#policies, this.#penalties, this.accounts)
  }
}

const arrivals = fc.array(fc.record({ gap: fc.integer({ min: 0, max: 3000 }), cost: fc.integer({ min: 0, max: 6 }) }), { maxLength: 150 })
const quota = fc.record({ max: fc.integer({ min: 1, max: 60 }), window: fc.constantFrom(100, 1000, 7000, 60_000), burst: fc.option(fc.integer({ min: 1, max: 80 }), { nil: undefined }) })

test('it decides as an exact token bucket does, counted in whole numbers', () => {
  fc.assert(fc.property(quota, arrivals, (options, asked) => {
    const policy = new Policy(options)
    const client = new Client([policy])
    // Tokens in units of 1 / window, so that a millisecond brings `max` of them and nothing is rounded.
    const full = policy.burst * policy.window
    let tokens = full
    for (const { gap, cost } of asked) {
      client.pass(gap)
      tokens = Math.min(full, tokens + gap * policy.max)
      const price = Math.min(cost, policy.burst) * policy.window
      const fits = price <= tokens
      const decision = client.ask(cost)
      assert.equal(decision.outcome, fits ? 'admitted' : 'refused')
      if (fits) tokens -= price
      // A thousandth short of a whole one may count as one, since stores round.
      const left = fits ? tokens / policy.window : 0
      assert.ok([Math.floor(left), Math.floor(left + 1.1e-3)].includes(decision.told.remaining), `${decision.told.remaining} of ${left}`)
      if (!fits) assert.ok(Math.abs(decision.wait - (price - tokens) / policy.max) < 1e-3)
    }
  }), { numRuns: 500, examples: [[{ max: 3, window: 1000, burst: 49 }, [{ gap: 0, cost: 4 }, { gap: 817, cost: 3 }, { gap: 516, cost: 0 }]]] })
})

test('in no window of time does it admit more than burst + rate × time', () => {
  fc.assert(fc.property(fc.array(quota, { minLength: 1, maxLength: 3 }), arrivals, (options, asked) => {
    const policies = options.map(option => new Policy(option))
    const client = new Client(policies)
    const taken: { at: number, cost: number }[] = []
    let now = 0
    for (const { gap, cost } of asked) {
      now += gap
      client.pass(gap)
      if (client.ask(cost).outcome === 'admitted') taken.push({ at: now, cost })
    }
    for (const { burst, max, window } of policies) {
      for (let from = 0; from < taken.length; from++) {
        let sum = 0
        for (let to = from; to < taken.length; to++) {
          sum += Math.min(taken[to]!.cost, burst)
          assert.ok(sum <= burst + max * (taken[to]!.at - taken[from]!.at) / window + 0.01)
        }
      }
    }
  }))
})

test('a client that waits as long as it is told is never refused twice, whatever the penalties', () => {
  const penalties = fc.record({ ban: fc.integer({ min: -1, max: 2 }), continueExceeding: fc.boolean(), exponentialBackoff: fc.boolean() })
  fc.assert(fc.property(fc.array(quota, { minLength: 1, maxLength: 3 }), penalties, arrivals, (options, penalties, asked) => {
    const client = new Client(options.map(option => new Policy(option)), penalties)
    for (const { gap, cost } of asked) {
      client.pass(gap)
      const decision = client.ask(cost)
      if (decision.outcome === 'admitted') continue
      client.pass(Math.ceil(decision.wait / 1000) * 1000)
      assert.equal(client.ask(cost).outcome, 'admitted')
    }
  }))
})

test('who is refused by one policy is charged by none', () => {
  const client = new Client([new Policy({ max: 1, window: 1000 }), new Policy({ max: 10, window: 60_000 })])
  assert.equal(client.ask().outcome, 'admitted')
  const before = client.accounts.map(({ debt }) => debt)
  assert.equal(client.ask().outcome, 'refused')
  assert.deepEqual(client.accounts.map(({ debt }) => debt), before)
})

test('a refusal tells of the policy that refuses for longest, an admission of the one that has the least left', () => {
  const client = new Client([new Policy({ name: 'fast', max: 2, window: 1000 }), new Policy({ name: 'slow', max: 2, window: 60_000 })])
  assert.equal(client.ask().told.policy.name, 'fast')
  client.pass(1000)
  assert.equal(client.ask().told.policy.name, 'slow')
  const refused = client.ask()
  assert.equal(refused.told.policy.name, 'slow')
  assert.equal(refused.wait, 29_000)
})

test('max: 0 admits nobody and says to come back in a window; a window of 0 limits nobody', () => {
  const closed = new Client([new Policy({ max: 0, window: 5000 })])
  assert.deepEqual([closed.ask().outcome, closed.ask().wait], ['refused', 5000])
  const banning = new Client([new Policy({ max: 0, window: 5000 })], { ...none, ban: 1 })
  assert.deepEqual([banning.ask().outcome, banning.ask().outcome, banning.ask().wait], ['refused', 'banned', 5000])
  const open = new Client([new Policy({ max: 3, window: 0 })])
  for (let i = 0; i < 10; i++) assert.deepEqual([open.ask().outcome, open.look().told.remaining], ['admitted', 3])
})

test('exponential back-off: from a window on, doubled each time, a day at most', () => {
  const client = new Client([new Policy({ max: 1, window: 1000 })], { ...none, exponentialBackoff: true })
  client.ask()
  const waits = Array.from({ length: 40 }, () => client.ask().wait)
  assert.deepEqual(waits.slice(0, 5), [1000, 2000, 4000, 8000, 16_000])
  assert.equal(waits.at(-1), 86_400_000)
})

test('a charge may go past the quota and is paid off by time; a refund fills no more than the quota', () => {
  const policy = new Policy({ max: 10, window: 1000 })
  const client = new Client([policy])
  enter([policy], 25, client.accounts)
  assert.deepEqual([client.look().outcome, client.look().wait], ['refused', 1600])
  enter([policy], -100, client.accounts)
  assert.equal(client.look().told.remaining, 10)
  enter([policy], 1e300, client.accounts)
  assert.ok(Number.isSafeInteger(client.look().wait))
})

test('a share of a policy: the rate and the burst in equal parts, never none', () => {
  const part = new Policy({ max: 10, window: 1000, burst: 5 }).share(4)
  assert.deepEqual([part.interval, part.burst, part.limit], [400, 1, '3'])
  assert.equal(new Policy({ max: 0, window: 1000 }).share(4).burst, 0)
})
