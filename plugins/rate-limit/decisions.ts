// Counts what the rate limit decided, by policy, for the metrics. It prevents a limit that is too tight, or never met, from
// being found out by its clients only. Names of policies come from options, so there are few; a client's key is never one.
import type { Add, Instrument } from '../shared/instruments.ts'
import type { Claim, Verdict } from './counter.ts'

export const decisions: Instrument = { name: 'fastify.ratelimit.decisions', type: 'counter', help: 'Decisions of the rate limit, by the policy that decided' }

type Counts = Record<Verdict['outcome'], number>

export class Decisions {
  readonly #byPolicy = new Map<string, Counts>()

  /** Of several policies the one that the client is told of; the first where the store failed and none was asked. */
  count (claim: Claim, verdict: Verdict): void {
    const { name } = 'told' in verdict ? verdict.told.policy : claim.policies[0]!
    let counts = this.#byPolicy.get(name)
    if (counts === undefined) this.#byPolicy.set(name, counts = { admitted: 0, refused: 0, banned: 0, uncounted: 0, unavailable: 0 })
    counts[verdict.outcome]++
  }

  read (add: Add): void {
    for (const [policy, counts] of this.#byPolicy) {
      for (const [outcome, count] of Object.entries(counts)) if (count > 0) add(count, { policy, outcome })
    }
  }
}
