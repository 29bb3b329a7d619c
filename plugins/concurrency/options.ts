// The options of the concurrency plugin: a default gate, and named ones beside it.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { BadOption } from '../shared/errors.ts'
import { abortSignal, boolean, either, func, integer, isObject, milliseconds, nearest, number, object, oneOf, readOptions, readValue, show, string, unknownKey, type Rules } from '../shared/check.ts'
import type { Rate } from '../shared/gate/token-bucket.ts'
import type { Priority, ShedReason } from '../shared/gate/waiter.ts'

/**
 * Answers a request that the gate sheds, with something cheap such as a stale copy: by `reply.send()`, or by what it
 * returns or resolves with. `undefined` leaves it to the 503. The request never goes back into the queue.
 */
export type OnShed = (request: FastifyRequest, reply: FastifyReply, reason: ShedReason) => unknown

/** Where a limit that adapts stays. It starts at 32, and doubles while requests wait and nothing shows that they queue elsewhere. */
export interface LimitBounds {
  /** An integer ≥ 1. @default 1 */
  min: number
  /** An integer ≥ `min`. @default 1000 */
  max: number
}

export interface GateOptions {
  /**
   * Requests that run at the same time: an integer ≥ 1, or the bounds of a limit that adapts to how long requests take.
   * @default { min: 1, max: 1000 }
   */
  limit: number | LimitBounds
  /** Requests a second that are let through, and how many at once after a pause (by default a tenth of a second's). @default none */
  rate: Rate | undefined
  /** Requests that wait for a permit at the same time; 0 sheds at once. An integer ≥ 0. @default 1000 */
  maxQueue: number
  /** Milliseconds that a request waits at most before it is refused with 503. An integer ≥ 1. @default 500 */
  maxWait: number
  /**
   * Milliseconds of wait behind which the queue counts as a standing one: then the newest is served first, and who waited
   * twice as long is refused. An integer ≥ 1. @default the service time, at least 20; none where `maxWait` is given
   */
  target: number | undefined
  /** Milliseconds after which the slot of a handler that goes on without its client is taken back. An integer ≥ 1. @default 30000 */
  orphanTimeout: number
  /** The priority of a request: 0 is critical, 2 is first to go when the room is full; anything else it returns counts as 1. @default 1 for everybody */
  priority: ((request: FastifyRequest) => Priority) | undefined
  /** Requests of one key, running and waiting, while the gate is full. An integer ≥ 1. @default no share */
  maxPerKey: number | undefined
  /** Whose share a request counts to. @default its IP address */
  key: ((request: FastifyRequest) => string) | undefined
  /** Answers in the place of the 503. @default none */
  onShed: OnShed | undefined
}

export interface ResolvedOptions extends GateOptions {
  /** Gates beside the default one, which routes choose by `config: { concurrency: 'name' }`. */
  groups: Record<string, GateOptions>
  /** Decides, counts and logs, but lets every request run at once. @default the umbrella's, else false */
  dryRun: boolean | undefined
}

/** A gate as the app declares it. */
export type GateInput = Partial<Omit<GateOptions, 'limit'>> & { limit?: number | Partial<LimitBounds> }

export type ConcurrencyOptions = GateInput & { groups?: Record<string, GateInput>, dryRun?: boolean }

/** What a route may say in `config.concurrency`; `false` lets it pass by every gate. */
export type RouteConcurrency = string | false | {
  /** One of the declared groups. @default 'default' */
  group?: string
  /** A fixed priority, or one by request. @default the gate's */
  priority?: Priority | ((request: FastifyRequest) => Priority)
  /** Whose share a request counts to. @default the gate's */
  key?: (request: FastifyRequest) => string
}

export const DEFAULT_GROUP = 'default'

const gateDefaults: GateOptions = {
  limit: { min: 1, max: 1000 },
  rate: undefined,
  maxQueue: 1000,
  maxWait: 500,
  target: undefined,
  orphanTimeout: 30_000,
  priority: undefined,
  maxPerKey: undefined,
  key: undefined,
  onShed: undefined
}

const gateRules: Rules<GateOptions> = {
  limit: either(integer(1), { ...object(readBounds), expects: '{ min, max }' }),
  rate: object(readRate),
  maxQueue: integer(0),
  maxWait: milliseconds(),
  target: milliseconds(),
  orphanTimeout: milliseconds(),
  priority: func,
  maxPerKey: integer(1),
  key: func,
  onShed: func
}

/** @throws FST_SURGE_BAD_OPTION */
export function readLimit (input: unknown): number | LimitBounds {
  return readValue('limit', input, gateRules.limit) as number | LimitBounds
}

function readBounds (input: unknown, path: string): LimitBounds {
  const bounds = readOptions<LimitBounds>(path, input, { min: integer(1), max: integer(1) }, gateDefaults.limit as LimitBounds)
  if (bounds.min > bounds.max) throw new BadOption(`Expected \`${path}.min\` to be an integer ≤ \`max\` (${bounds.max}), got ${bounds.min}`)
  return bounds
}

function readRate (input: unknown, path: string): Rate {
  const { perSecond, burst } = readOptions<{ perSecond: number | undefined, burst: number | undefined }>(path, input, { perSecond: number(0.001, 1e6), burst: integer(1) }, { perSecond: undefined, burst: undefined })
  if (perSecond === undefined) throw new BadOption(`Expected \`${path}.perSecond\` to be a number from 0.001 to 1000000, got undefined`)
  return { perSecond, burst: burst ?? Math.max(1, Math.ceil(perSecond / 10)) }
}

/** Whoever sets the wait means the wait: nobody is to be refused before. */
function withTarget<Gate extends GateOptions> (gate: Gate, input: unknown): Gate {
  if (gate.target === undefined && isObject(input) && input.maxWait !== undefined) gate.target = Infinity
  return gate
}

const rules: Rules<ResolvedOptions> = {
  ...gateRules,
  dryRun: boolean,
  groups: { expects: 'an object of gates by name', accepts: isObject, read: readGroups }
}

function readGroups (groups: Record<string, unknown>, path: string): Record<string, GateOptions> {
  return Object.fromEntries(Object.entries(groups).map(([name, gate]) => {
    if (name === DEFAULT_GROUP) throw new BadOption(`\`${path}.default\` cannot be declared: the default gate takes its options from \`concurrency\` itself`)
    return [name, withTarget(readOptions(`${path}.${name}`, gate, gateRules, gateDefaults), gate)]
  }))
}

/** @throws FST_SURGE_BAD_OPTION */
export function readConcurrency (input: ConcurrencyOptions): ResolvedOptions {
  return withTarget(readOptions<ResolvedOptions>('concurrency', input, rules, { ...gateDefaults, groups: {}, dryRun: undefined }), input)
}

export interface RouteGate {
  group: string
  priority: Priority | ((request: FastifyRequest) => Priority) | undefined
  key: ((request: FastifyRequest) => string) | undefined
}

const routeRules: Rules<RouteGate> = {
  group: string,
  priority: either(oneOf(0, 1, 2), func),
  key: func
}

/**
 * A route's `config.concurrency`; false lets the route pass by every gate.
 * @throws FST_SURGE_BAD_OPTION for an unknown key or a group that nobody declared.
 */
export function readRoute (input: unknown, path: string, groups: readonly string[]): RouteGate | false {
  if (input === false) return false
  const route = readRouteKeys(typeof input === 'string' ? { group: input } : input, path)
  if (!groups.includes(route.group)) {
    const near = nearest(route.group, [...groups])
    throw new BadOption(`Expected \`${path}\` to name a declared group, got ${show(route.group)}. ${near === undefined ? `Declare it: concurrency: { groups: { ${route.group}: { limit: … } } }` : `Did you mean '${near}'?`}`)
  }
  return route
}

function readRouteKeys (input: unknown, path: string): RouteGate {
  if (isObject(input)) {
    for (const key of Object.keys(input)) {
      const option = key in routeRules ? undefined : nearest(key, Object.keys(gateRules))
      if (option !== undefined) {
        throw unknownKey(`${path}.${key}`, key, Object.keys(option === key ? routeRules : gateRules), `A gate's \`${option}\` is declared once, in the plugin's options, and the route names the gate: concurrency: { groups: { name: { ${option}: … } } } and config: { concurrency: 'name' }.`, input[key])
      }
    }
  }
  if (input !== undefined && !isObject(input)) throw new BadOption(`Expected \`${path}\` to be the name of a group, { group, priority, key } or false, got ${show(input)}`)
  return readOptions<RouteGate>(path, input, routeRules, { group: DEFAULT_GROUP, priority: undefined, key: undefined })
}

export interface RunOptions {
  /** @default 'default' */
  group?: string
  /** 0 is critical, 2 is first to go. @default 1 */
  priority?: Priority
  /** Ends the wait, and is handed to the task. */
  signal?: AbortSignal
}

const runRules: Rules<RunOptions> = {
  group: string,
  priority: oneOf(0, 1, 2),
  signal: abortSignal
}

/** @throws FST_SURGE_BAD_OPTION */
export function readRun (input: RunOptions): RunOptions & { priority: Priority } {
  return readOptions<RunOptions & { priority: Priority }>('run options', input, runRules, { priority: 1 })
}
