// Evaluates the preconditions of a request against the representation that would be sent, in the order of
// RFC 9110 section 13.2.2. It prevents sending again what the client has.
import { findTag } from './entity-tag.ts'

export type Verdict = 'proceed' | 'not-modified' | 'failed'

type Headers = Record<string, string | string[] | undefined>

export interface Validators {
  /** The tag of the selected representation. */
  readonly etag: string | undefined
  /** The tags of every representation that exists, for `If-Match`; asked for only then. */
  readonly current: () => readonly string[]
  /** As the `Last-Modified` field has it. */
  readonly lastModified: string | undefined
}

/** True when the request carries a precondition, so that an unconditional one pays for four look-ups and no more. */
export function isConditional (headers: Headers): boolean {
  return headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined ||
    headers['if-match'] !== undefined || headers['if-unmodified-since'] !== undefined
}

/** For GET and HEAD whose reply would be 2xx without the preconditions (section 13.2.1); nothing else may be asked here. */
export function evaluate (headers: Headers, validators: Validators): Verdict {
  if (expectationFails(headers, validators)) return 'failed'
  return isNotModified(headers, validators) ? 'not-modified' : 'proceed'
}

function expectationFails (headers: Headers, { etag, current, lastModified }: Validators): boolean {
  const list = headers['if-match'] as string | undefined
  if (list !== undefined) {
    // Without a tag there is nothing to compare with, and the app may have judged the request itself.
    if (etag === undefined || list.trim() === '*') return false
    return !current().some(tag => findTag(list, tag, true) !== undefined)
  }
  const since = httpDate(headers['if-unmodified-since'])
  const modified = httpDate(lastModified)
  return since !== undefined && modified !== undefined && modified > since
}

function isNotModified (headers: Headers, { etag, lastModified }: Validators): boolean {
  const list = headers['if-none-match'] as string | undefined
  if (list !== undefined) {
    if (etag !== undefined && findTag(list, etag, false) !== undefined) return true
    return list.trim() === '*'
  }
  // A request that has If-None-Match is judged by it alone (section 13.1.3).
  const since = httpDate(headers['if-modified-since'])
  const modified = httpDate(lastModified)
  return since !== undefined && modified !== undefined && modified <= since
}

const FIXDATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT$/
const ASCTIME = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/

/** Milliseconds of an HTTP-date in any of its three forms (section 5.6.7); undefined for what is none, which is then ignored. */
export function httpDate (value: string | string[] | undefined): number | undefined {
  if (typeof value !== 'string') return undefined
  const time = FIXDATE.test(value) ? Date.parse(value) : ASCTIME.test(value) ? Date.parse(`${value} GMT`) : NaN
  return Number.isNaN(time) ? undefined : time
}
