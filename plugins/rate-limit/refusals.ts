// What a client past its quota is answered, prepared a policy at a time so that problem details can name the one that was
// violated. The types are those of draft-ietf-httpapi-ratelimit-headers-11, section 5.
import { Banned, QuotaUnavailable, RateLimited } from '../shared/errors.ts'
import { asProblem, prepareRefusal, type Refusal } from '../shared/refusal.ts'

const TYPES = 'https://iana.org/assignments/http-problem-types#'

const limited = prepareRefusal('rate-limit', 'rate_limited', RateLimited)
const banned = prepareRefusal('rate-limit', 'banned', Banned)
const unavailable = prepareRefusal('rate-limit', 'quota_unavailable', QuotaUnavailable, 1)

export class Refusals {
  readonly unavailable: Refusal
  readonly #problem: boolean
  readonly #limited = new Map<string, Refusal>()
  readonly #banned = new Map<string, Refusal>()

  /** `problem`: bodies are problem details, whatever the umbrella says. */
  constructor (problem: boolean) {
    this.#problem = problem
    this.unavailable = this.#prepare({ ...unavailable, problem: { type: `${TYPES}temporary-reduced-capacity`, title: 'Temporary reduced capacity' } })
  }

  of (outcome: 'refused' | 'banned', policy: string): Refusal {
    const known = outcome === 'banned' ? this.#banned : this.#limited
    let refusal = known.get(policy)
    if (refusal === undefined) {
      refusal = this.#prepare(outcome === 'banned'
        ? { ...banned, problem: { type: `${TYPES}abnormal-usage-detected`, title: 'Abnormal usage detected', 'violated-policies': [policy] } }
        : { ...limited, problem: { type: `${TYPES}quota-exceeded`, title: 'Quota exceeded', 'violated-policies': [policy] } })
      known.set(policy, refusal)
    }
    return refusal
  }

  #prepare (refusal: Refusal): Refusal {
    return this.#problem ? asProblem(refusal) : refusal
  }
}
