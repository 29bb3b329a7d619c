// Which headers tell a client of its quota, and under which names. Each header line costs a request more than the
// decision does, so they are chosen once a route.

type Word = 'limit' | 'remaining' | 'reset'

/** Which headers are sent, by name. */
export type HeaderSwitches = Partial<Record<`${'x-' | ''}ratelimit-${Word}` | 'retry-after', boolean>>

export interface HeaderChoice {
  /** Names without `x-`. */
  enableDraftSpec: boolean
  /** Of refused replies. */
  addHeaders: HeaderSwitches
  /** Of admitted replies. */
  addHeadersOnExceeding: HeaderSwitches
}

/** Header names; undefined is not sent. */
export interface QuotaHeaders {
  limit: string | undefined
  remaining: string | undefined
  reset: string | undefined
}

export interface RouteHeaders {
  admitted: QuotaHeaders
  refused: QuotaHeaders
  /** Whether refused replies carry Retry-After. */
  retryAfter: boolean
}

export function routeHeaders ({ enableDraftSpec, addHeaders, addHeadersOnExceeding }: HeaderChoice): RouteHeaders {
  const prefix = enableDraftSpec ? 'ratelimit-' : 'x-ratelimit-'

  function named (switches: HeaderSwitches): QuotaHeaders {
    const name = (word: Word) => switches[`${prefix}${word}`] === false ? undefined : prefix + word
    return { limit: name('limit'), remaining: name('remaining'), reset: name('reset') }
  }

  return { admitted: named(addHeadersOnExceeding), refused: named(addHeaders), retryAfter: addHeaders['retry-after'] !== false }
}
