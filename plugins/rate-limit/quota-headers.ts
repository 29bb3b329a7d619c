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

interface Reply { header: (name: string, value: string) => unknown }

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
    const prefix = enableDraftSpec ? 'ratelimit-' : 'x-ratelimit-'

    function named (switches: HeaderSwitches): Names {
      if (headers !== 'x-ratelimit') return SILENT
      const name = (word: Word) => switches[`${prefix}${word}`] === false ? undefined : prefix + word
      return { limit: name('limit'), remaining: name('remaining'), reset: name('reset') }
    }

    this.#draft = headers === 'draft-11'
    this.#admitted = named(addHeadersOnExceeding)
    this.#refused = named(addHeaders)
    this.retryAfter = addHeaders['retry-after'] !== false
  }

  write (reply: Reply, { outcome, told, levels }: Decision): void {
    const { limit, remaining, reset } = outcome === 'admitted' ? this.#admitted : this.#refused
    if (limit !== undefined) reply.header(limit, told.policy.limit)
    if (remaining !== undefined) reply.header(remaining, String(told.remaining))
    if (reset !== undefined) reply.header(reset, String(wholeSeconds(told.reset)))
    if (this.#draft) {
      reply.header('ratelimit-policy', levels.length === 1 ? policyItem(told.policy) : levels.map(({ policy }) => policyItem(policy)).join(', '))
      reply.header('ratelimit', levels.length === 1 ? levelItem(told) : levels.map(levelItem).join(', '))
    }
  }
}

/** Names are checked at boot to be such that they need no escapes. A window below a second has no integer, and `w` may be left out. */
function policyItem ({ name, limit, window }: Policy): string {
  return `"${name}";q=${limit}${window < 1000 ? '' : `;w=${wholeSeconds(window)}`}`
}

function levelItem ({ policy, remaining, reset }: Level): string {
  return `"${policy.name}";r=${remaining};t=${wholeSeconds(reset)}`
}
