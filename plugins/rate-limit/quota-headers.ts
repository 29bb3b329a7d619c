// How a client is told of its quota: x-ratelimit-* as everybody has them, the fields of the IETF draft, or nothing. Each
// header line costs a request more than the decision does, so what is sent is chosen once a route.
import { wholeSeconds, type Decision, type Level, type Policy } from './gcra.ts'

type Word = 'limit' | 'remaining' | 'reset'

/** Which headers are sent, by name. */
export type HeaderSwitches = Partial<Record<`${'x-' | ''}ratelimit-${Word}` | 'retry-after', boolean>>

/** 'draft-11': `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-11; false sends none. */
export type HeaderStyle = 'x-ratelimit' | 'draft-11' | false

export interface HeaderChoice {
  headers: HeaderStyle
  /** Names without `x-`. */
  enableDraftSpec: boolean
  /** Of refused replies. */
  addHeaders: HeaderSwitches
  /** Of admitted replies. */
  addHeadersOnExceeding: HeaderSwitches
}

/** By lowercase name. */
type Headers = Record<string, string>

/** Literals: a name that is put together is looked up among all names again with each header. */
const CUSTOMARY = { limit: 'x-ratelimit-limit', remaining: 'x-ratelimit-remaining', reset: 'x-ratelimit-reset' } as const
const DRAFT = { limit: 'ratelimit-limit', remaining: 'ratelimit-remaining', reset: 'ratelimit-reset' } as const

/** Header names; undefined is not sent. */
type Names = Record<Word, string | undefined>

const SILENT: Names = { limit: undefined, remaining: undefined, reset: undefined }

export class QuotaHeaders {
  /** Whether refused replies carry Retry-After. */
  readonly retryAfter: boolean
  readonly #draft: boolean
  readonly #admitted: Names
  readonly #refused: Names

  constructor ({ headers, enableDraftSpec, addHeaders, addHeadersOnExceeding }: HeaderChoice) {
    const names = enableDraftSpec ? DRAFT : CUSTOMARY

    function named (switches: HeaderSwitches): Names {
      if (headers !== 'x-ratelimit') return SILENT
      const sent = (word: Word) => switches[names[word]] === false ? undefined : names[word]
      return { limit: sent('limit'), remaining: sent('remaining'), reset: sent('reset') }
    }

    this.#draft = headers === 'draft-11'
    this.#admitted = named(addHeadersOnExceeding)
    this.#refused = named(addHeaders)
    this.retryAfter = addHeaders['retry-after'] !== false
  }

  /** Adds them to `headers`, and returns it. */
  write (headers: Headers, { outcome, told, levels }: Decision): Headers {
    const { limit, remaining, reset } = outcome === 'admitted' ? this.#admitted : this.#refused
    if (limit !== undefined) headers[limit] = told.policy.limit
    if (remaining !== undefined) headers[remaining] = String(told.remaining)
    if (reset !== undefined) headers[reset] = String(wholeSeconds(told.reset))
    if (this.#draft) {
      headers['ratelimit-policy'] = levels.length === 1 ? policyItem(told.policy) : levels.map(({ policy }) => policyItem(policy)).join(', ')
      headers.ratelimit = levels.length === 1 ? levelItem(told) : levels.map(levelItem).join(', ')
    }
    return headers
  }
}

/** Names are checked at boot to be such that they need no escapes. A window below a second has no integer, and `w` may be left out. */
function policyItem ({ name, limit, window }: Policy): string {
  return `"${name}";q=${limit}${window < 1000 ? '' : `;w=${wholeSeconds(window)}`}`
}

function levelItem ({ policy, remaining, reset }: Level): string {
  return `"${policy.name}";r=${remaining};t=${wholeSeconds(reset)}`
}
