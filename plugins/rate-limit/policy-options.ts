// `policies`: several quotas that hold on a route together, such as 10 a second and 1,000 an hour, each with a name of its
// own, because headers and problem details tell them apart by it.
import { format, parse } from '@lukeed/ms'
import { either, integer, isObject, readOptions, show, type Rule, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import { Policy } from './gcra.ts'
import { MAX_POLICIES } from './memory-store.ts'

/** One of several quotas that hold on a route together. */
export interface PolicyOptions {
  /** What headers and problem details call it: printable ASCII without `"` and `\\`. @default as '10/1s' */
  name?: string
  /** Requests of one client in one window. An integer ≥ 0. */
  max: number
  /** Milliseconds, or a string such as '1 minute'. */
  timeWindow: number | string
  /** Requests at once after a pause. An integer ≥ 1. @default max */
  burst?: number
}

/** As @fastify/rate-limit parses it; what it cannot parse there means no window at all. */
export const duration: Rule = {
  expects: "a duration such as '1 minute'",
  accepts: value => typeof value === 'string' && (parse(value) ?? 0) > 0,
  read: (value: string) => Math.ceil(parse(value)!)
}

const policyRules: Rules<PolicyOptions> = {
  name: { expects: 'printable ASCII without " and \\', accepts: value => typeof value === 'string' && /^[ !#-[\]-~]{1,64}$/.test(value) },
  max: integer(0),
  timeWindow: either({ ...integer(1), expects: 'milliseconds, an integer ≥ 1' }, duration),
  burst: integer(1)
}

export const policies: Rule = {
  expects: `a list of 1 to ${MAX_POLICIES} policies`,
  accepts: value => Array.isArray(value) && value.length > 0 && value.length <= MAX_POLICIES && value.every(isObject),
  read: (list: object[], path) => {
    const read = list.map((given, i) => readPolicy(given, `${path}[${i}]`))
    const twice = read.find(({ name }, i) => read.findIndex(other => other.name === name) < i)
    if (twice !== undefined) throw new BadOption(`Expected the names of \`${path}\` to differ, got ${show(twice.name)} twice`)
    return read
  }
}

function readPolicy (given: object, path: string): Policy {
  for (const key of ['max', 'timeWindow']) {
    if (!(key in given)) throw new BadOption(`Expected \`${path}\` to have \`${key}\`, got ${show(given)}`)
  }
  const { name, max, timeWindow, burst } = readOptions<PolicyOptions>(path, given, policyRules, {} as PolicyOptions)
  const window = timeWindow as number
  return new Policy({ name: name ?? `${max}/${format(window).replaceAll(' ', '')}`, max, window, burst })
}
