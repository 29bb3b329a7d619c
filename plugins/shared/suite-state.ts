// What the umbrella tells the plugins of its context: the dry run, the shape of refusals and the
// overrides of routes that another plugin declares. A plugin that stands alone sees the defaults.
import type { FastifyInstance } from 'fastify'
import type { OnRefused } from './refusal.ts'

export interface SuiteState {
  dryRun: boolean
  onRefused: OnRefused | undefined
  /** Route config by `'/url'` or `'METHOD /url'`, laid over the route's own. */
  routes: Record<string, Record<string, unknown>>
}

const STANDALONE: SuiteState = { dryRun: false, onRefused: undefined, routes: {} }

const kSuite = Symbol.for('fastify-surge.suite')

/** Sets the state for `app` and the contexts below it, which inherit by prototype. */
export function setSuiteState (app: FastifyInstance, state: SuiteState): void {
  (app as any)[kSuite] = state
}

export function suiteState (app: FastifyInstance): SuiteState {
  return (app as any)[kSuite] ?? STANDALONE
}

/** One key of a route's `config`, the umbrella's override first: by method and url, by url, then the route's own. */
export function routeSetting (state: SuiteState, key: string, methods: readonly string[], url: string | undefined, config: object | undefined): unknown {
  if (url !== undefined) {
    for (const method of methods) {
      const exact = state.routes[`${method} ${url}`]
      if (exact !== undefined && key in exact) return exact[key]
    }
    const byUrl = state.routes[url]
    if (byUrl !== undefined && key in byUrl) return byUrl[key]
  }
  return (config as Record<string, unknown> | undefined)?.[key]
}
