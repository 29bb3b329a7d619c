// Refusals that hold for a while are remembered here, so that a client that goes on asking costs the store nothing.
import type { Clock } from '../shared/clock.ts'
import type { Decision, Policy } from './gcra.ts'

const MOST = 10_000

interface Denial { readonly cost: number, readonly until: number, readonly decision: Decision }

export class Denials {
  readonly #clock: Clock
  readonly #byKey = new Map<string, Denial>()

  constructor (clock: Clock) {
    this.#clock = clock
  }

  get size (): number { return this.#byKey.size }

  /** The refusal that still holds for a request of this cost under these policies, with what is left of its wait. */
  get (key: string, cost: number, policies: readonly Policy[]): Decision | undefined {
    const denial = this.#byKey.get(key)
    if (denial === undefined || denial.cost > cost || !policies.some(policy => policy.is(denial.decision.told.policy))) return undefined
    const wait = denial.until - this.#clock.now()
    if (wait <= 0) {
      this.#byKey.delete(key)
      return undefined
    }
    const passed = denial.decision.wait - wait
    const levels = denial.decision.levels.map(level => ({ ...level, reset: Math.max(0, level.reset - passed) }))
    const told = levels[denial.decision.levels.indexOf(denial.decision.told)]!
    return { outcome: denial.decision.outcome, wait, told, levels }
  }

  /** The oldest goes when there are too many: whoever it was costs one more question. */
  add (key: string, cost: number, decision: Decision): void {
    if (this.#byKey.size >= MOST) this.#byKey.delete(this.#byKey.keys().next().value!)
    this.#byKey.set(key, { cost, until: this.#clock.now() + decision.wait, decision })
  }

  delete (key: string): void {
    this.#byKey.delete(key)
  }
}
