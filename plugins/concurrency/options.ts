// The options of the concurrency plugin: a default gate, and named ones beside it.
import type { FastifyRequest } from 'fastify'
import { BadOption } from '../shared/errors.ts'
import { boolean, func, integer, isObject, milliseconds, nearest, oneOf, readOptions, show, string, unknownKey, type Rules } from '../shared/check.ts'
import type { GateLimits } from './gate.ts'
import type { Priority } from './waiter.ts'

export interface GateOptions extends GateLimits {
  /** The priority of a request: 0 is critical, 2 is first to go when the room is full. @default 1 for everybody */
  priority: ((request: FastifyRequest) => Priority) | undefined
}

export interface ResolvedOptions extends GateOptions {
  /** Gates beside the default one, which routes choose by `config: { concurrency: 'name' }`. */
  groups: Record<string, GateOptions>
  /** Decides, counts and logs, but lets every request run at once. @default the umbrella's, else false */
  dryRun: boolean | undefined
}

export type ConcurrencyOptions = Partial<GateOptions> & { groups?: Record<string, Partial<GateOptions>>, dryRun?: boolean }

/** What a route may say in `config.concurrency`; `false` lets it pass by every gate. */
export type RouteConcurrency = string | false | {
  /** One of the declared groups. @default 'default' */
  group?: string
  /** A fixed priority, or one by request. @default the gate's */
  priority?: Priority | ((request: FastifyRequest) => Priority)
}

export const DEFAULT_GROUP = 'default'

const gateDefaults: GateOptions = {
  limit: 1000,
  maxQueue: 1000,
  maxWait: 500,
  orphanTimeout: 30_000,
  priority: undefined
}

const gateRules: Rules<GateOptions> = {
  limit: integer(1),
  maxQueue: integer(0),
  maxWait: milliseconds(),
  orphanTimeout: milliseconds(),
  priority: func
}

const rules: Rules<ResolvedOptions> = {
  ...gateRules,
  dryRun: boolean,
  groups: { expects: 'an object of gates by name', accepts: isObject, read: readGroups }
}

function readGroups (groups: Record<string, unknown>, path: string): Record<string, GateOptions> {
  return Object.fromEntries(Object.entries(groups).map(([name, gate]) => {
    if (name === DEFAULT_GROUP) throw new BadOption(`\`${path}.default\` cannot be declared: the default gate takes its options from \`concurrency\` itself`)
    return [name, readOptions(`${path}.${name}`, gate, gateRules, gateDefaults)]
  }))
}

/** @throws FST_SURGE_BAD_OPTION */
export function readConcurrency (input: ConcurrencyOptions): ResolvedOptions {
  return readOptions<ResolvedOptions>('concurrency', input, rules, { ...gateDefaults, groups: {}, dryRun: undefined })
}

interface ReadRoute { group: string, priority: Priority | ((request: FastifyRequest) => Priority) | undefined }

const routeRules: Rules<ReadRoute> = {
  group: string,
  priority: { expects: '0, 1, 2 or a function', accepts: value => oneOf(0, 1, 2).accepts(value) || func.accepts(value) }
}

/**
 * A route's `config.concurrency`; false lets the route pass by every gate.
 * @throws FST_SURGE_BAD_OPTION for an unknown key or a group that nobody declared.
 */
export function readRoute (input: unknown, path: string, groups: readonly string[]): ReadRoute | false {
  if (input === false) return false
  const route = readRouteKeys(typeof input === 'string' ? { group: input } : input, path)
  if (!groups.includes(route.group)) {
    const near = nearest(route.group, [...groups])
    throw new BadOption(`Expected \`${path}\` to name a declared group, got ${show(route.group)}. ${near === undefined ? `Declare it: concurrency: { groups: { ${route.group}: { limit: … } } }` : `Did you mean '${near}'?`}`)
  }
  return route
}

function readRouteKeys (input: unknown, path: string): ReadRoute {
  if (isObject(input)) {
    for (const key of Object.keys(input)) {
      const option = key in routeRules ? undefined : nearest(key, Object.keys(gateRules))
      if (option !== undefined) {
        throw unknownKey(`${path}.${key}`, key, Object.keys(gateRules), `A gate's \`${option}\` is declared once, in the plugin's options, and the route names the gate: concurrency: { groups: { name: { ${option}: … } } } and config: { concurrency: 'name' }.`)
      }
    }
  }
  return readOptions<ReadRoute>(path, input, routeRules, { group: DEFAULT_GROUP, priority: undefined })
}
