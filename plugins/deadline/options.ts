// The options of the deadline plugin, and what a route may say instead.
import { milliseconds, oneOf, either, readOptions, readValue, type Rules } from '../shared/check.ts'

export interface DeadlineSettings {
  /** Milliseconds from a request's arrival to its reply's first byte; false sets none. An integer ≥ 1. @default 60000, when balancers give up */
  timeout: number | false
}

export type DeadlineOptions = Partial<DeadlineSettings>

const defaults: DeadlineSettings = { timeout: 60_000 }
const timeout = either(milliseconds(), oneOf(false))
const rules: Rules<DeadlineSettings> = { timeout }

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
