// The umbrella's own options beside the switches of the table: what holds for all plugins at once.
import { METHODS } from 'node:http'
import type { FastifyContextConfig } from 'fastify'
import { anything, boolean, func, isObject, nearest, readOptions, show, unknownKey, type Rules } from './shared/check.ts'
import { BadOption } from './shared/errors.ts'
import type { OnRefused } from './shared/refusal.ts'
import { ROUTE_KEYS, suite, type SuiteKey, type SuiteSwitches } from './suite.ts'

/** Overrides for one route that another plugin declares, as its `config` would have them. */
export type RouteOverrides = Partial<Pick<FastifyContextConfig, Extract<keyof FastifyContextConfig, typeof ROUTE_KEYS[number]>>>

export interface SurgeOptions extends SuiteSwitches {
  /** Decides, counts and logs, refuses nothing. @default false */
  dryRun?: boolean
  /** Shapes the body of every refusal; `problemJson` is ready-made. @default Fastify's own error body */
  onRefused?: OnRefused
  /** Route config by `'/url'` or `'METHOD /url'`, the full url as the router has it, laid over the route's own. */
  routes?: Record<string, RouteOverrides>
}

export interface ReadOptions {
  switches: Record<SuiteKey, boolean | object>
  dryRun: boolean
  onRefused: OnRefused | undefined
  routes: Record<string, Record<string, unknown>>
}

const toggle = { expects: 'true, false or an object', accepts: (value: unknown) => typeof value === 'boolean' || isObject(value) }

const rules: Rules<SurgeOptions> = {
  ...Object.fromEntries(Object.keys(suite).map(key => [key, toggle])) as Record<SuiteKey, typeof toggle>,
  dryRun: boolean,
  onRefused: func,
  routes: { expects: 'an object of route config by url', accepts: isObject, read: readRoutes }
}

/** @throws FST_SURGE_BAD_OPTION */
export function readSurge (input: SurgeOptions): ReadOptions {
  const { dryRun = false, onRefused, routes = {}, ...given } = readOptions<SurgeOptions>('surge', input, rules, {})
  const switches = Object.fromEntries(Object.entries(suite).map(([key, { on }]) => [key, given[key as SuiteKey] ?? on]))
  return { switches: switches as Record<SuiteKey, boolean | object>, dryRun, onRefused, routes: routes as ReadOptions['routes'] }
}

function readRoutes (routes: Record<string, unknown>, path: string): Record<string, unknown> {
  const keyRules = Object.fromEntries(ROUTE_KEYS.map(key => [key, anything]))
  for (const [route, config] of Object.entries(routes)) {
    const [, method, url] = /^(?:([A-Za-z-]+) )?([/*].*)$/.exec(route) ?? []
    if (url === undefined || (method !== undefined && !METHODS.includes(method))) {
      throw new BadOption(`Expected a key of \`${path}\` to be '/url' or 'METHOD /url', got ${show(route)}`)
    }
    if (!isObject(config)) throw new BadOption(`Expected \`${path}[${show(route)}]\` to be an object, got ${show(config)}`)
    for (const key of Object.keys(config)) {
      if (key in keyRules) continue
      const near = nearest(key, Object.keys(suite))
      throw unknownKey(`${path}[${show(route)}].${key}`, key, [...ROUTE_KEYS], near !== undefined && !(near in keyRules) ? `\`${near}\` is not set route by route.` : '')
    }
  }
  return routes
}
