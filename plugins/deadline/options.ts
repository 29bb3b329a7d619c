// The options of the deadline plugin, what a route may say instead, and how a budget is read from a request.
import { boolean, either, milliseconds, oneOf, readOptions, readValue, type Rule, type Rules } from '../shared/check.ts'

export interface DeadlineSettings {
  /** Milliseconds from a request's arrival to its reply's first byte; false sets none. An integer ≥ 1. @default 60000, when balancers give up */
  timeout: number | false
  /**
   * A request header with the milliseconds that its sender still waits, such as Envoy's `x-envoy-expected-rq-timeout-ms`.
   * It shortens the deadline and never lengthens it. To name one is to trust whoever sends it. @default false
   */
  header: string | false
  /** Decides, counts and logs, but answers for nobody and aborts no signal. @default the umbrella's, else false */
  dryRun: boolean | undefined
}

export type DeadlineOptions = Partial<DeadlineSettings>

const defaults: DeadlineSettings = { timeout: 60_000, header: false, dryRun: undefined }
const timeout = either(milliseconds(), oneOf(false))

/** RFC 9110 section 5.1, in lower case, as Node has them. */
const headerName: Rule = {
  expects: 'the name of a header',
  accepts: value => typeof value === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(value),
  read: (value: string) => value.toLowerCase()
}

const rules: Rules<DeadlineSettings> = { timeout, header: either(headerName, oneOf(false)), dryRun: boolean }

/** @throws FST_SURGE_BAD_OPTION */
export function readDeadline (input: DeadlineOptions): DeadlineSettings {
  return readOptions('deadline', input, rules, defaults)
}

/**
 * A route's `config.deadline`: milliseconds or false.
 * @throws FST_SURGE_BAD_OPTION
 */
export function readRoute (input: unknown, path: string): number | false {
  return readValue(path, input, timeout) as number | false
}

/**
 * The shorter of the timeout and the budget that a header names. Anything but digits is no budget, and 0 is Envoy's word
 * for none.
 */
export function shortened (timeout: number, budget: string | string[] | undefined): number {
  if (typeof budget !== 'string' || !/^\d{1,10}$/.test(budget)) return timeout
  return Math.min(timeout, Number(budget) || timeout)
}
