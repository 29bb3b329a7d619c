// The umbrella: registers the whole suite in one call, in the one order that works, each plugin with its own switch.
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { readSurge, type SurgeOptions } from './options.ts'
import { admissionOf } from './shared/admission.ts'
import { nearest, unknownKey } from './shared/check.ts'
import { claim } from './shared/define-plugin.ts'
import { listEarlyRoutes } from './shared/early-routes.ts'
import { Clash } from './shared/errors.ts'
import { routeOf } from './shared/route.ts'
import { setSuiteState } from './shared/suite-state.ts'
import { ROUTE_KEYS, suite, type SuiteKey } from './suite.ts'

export { default as compression } from './compression/index.ts'
export { default as concurrency } from './concurrency/index.ts'
export { default as deadline } from './deadline/index.ts'
export { default as jsonStream } from './json-stream/index.ts'
export { default as lifecycle } from './lifecycle/index.ts'
export { default as loadBalancer } from './load-balancer/index.ts'
export { default as metrics } from './metrics/index.ts'
export { default as pressure } from './pressure/index.ts'
export { default as profiling } from './profiling/index.ts'
export { default as rateLimit } from './rate-limit/index.ts'
export { default as serverDefaults, serverOptions } from './server-defaults/index.ts'
export { default as workerPool } from './worker-pool/index.ts'
export { problemJson } from './shared/refusal.ts'

export type { CompressionOptions } from './compression/index.ts'
export type { Concurrency, ConcurrencyOptions, GateStats, Priority, RouteConcurrency, RunOptions, ShedReason } from './concurrency/index.ts'
export type { DeadlineOptions, RequestDeadline } from './deadline/index.ts'
export type { JsonStreamOptions } from './json-stream/index.ts'
export type { LifecycleDecorator, LifecycleOptions } from './lifecycle/index.ts'
export type { LoadBalancerDecorator, LoadBalancerOptions } from './load-balancer/index.ts'
export type { MetricsOptions, SurgeMetrics } from './metrics/index.ts'
export type { RouteOverrides, SurgeOptions } from './options.ts'
export type { PressureOptions } from './pressure/index.ts'
export type { ProfilingOptions } from './profiling/index.ts'
export type { RateLimitOptions } from './rate-limit/index.ts'
export type { ServerDefaultsOptions } from './server-defaults/index.ts'
export type { OnRefused, Refusal } from './shared/refusal.ts'
export type { WorkerPool, WorkerPoolOptions, WorkerPoolStats, WorkerRunOptions } from './worker-pool/index.ts'

export interface Surge {
  /** The protections that requests meet before their handler, by option key, and whether they are on. */
  readonly switches: Record<string, boolean>
  /**
   * Takes a protection out of the way of requests to come, or puts it back, without a restart.
   * @throws FST_SURGE_BAD_OPTION for a key that is none of `switches`
   */
  switch: (key: string, on: boolean) => void
}

declare module 'fastify' {
  interface FastifyInstance {
    surge: Surge
  }
}

async function surge (app: FastifyInstance, input: SurgeOptions): Promise<void> {
  const { switches, dryRun, onRefused, routes } = readSurge(input)
  claim(app, 'fastify-surge', 'Register it once; its plugins can be configured by route, or registered alone.')
  if (app.hasDecorator('surge')) throw new Clash('fastify-surge adds `app.surge`, which exists already: remove the plugin that decorates it.')
  listEarlyRoutes(app, [...switches.compression !== false ? ['compression', 'ETag'] : [], ...switches.jsonStream !== false ? ['jsonStream'] : []])
  setSuiteState(app, { dryRun, onRefused, routes })
  const admission = admissionOf(app)
  app.decorate('surge', {
    get switches () { return admission.switches },
    switch (key: string, on: boolean) {
      if (!admission.switch(key, on)) throw unknownKey(`switch(${JSON.stringify(key)})`, key, Object.keys(admission.switches))
    }
  })
  for (const key of Object.keys(suite) as SuiteKey[]) {
    const options = switches[key]
    if (options !== false) await app.register(suite[key].plugin as any, options === true ? {} : options)
  }
  app.addHook('onRoute', function surgeNearNames ({ method, url, config = {} }) {
    if (method === 'HEAD') return
    // Route config is the app's own as well, so a strange key is no error; one that is nearly ours is worth a word.
    for (const key of Object.keys(config)) {
      const near = nearest(key, [...ROUTE_KEYS], 2)
      if (near !== undefined && near !== key) app.log.warn(`config.${key} of ${method} ${url} is no option of fastify-surge. Did you mean \`${near}\`?`)
    }
  })
  app.addHook('onReady', async function surgeUnmatchedOverrides () {
    for (const route of Object.keys(routes)) {
      const [url, method] = route.split(' ').reverse() as [string, string?]
      // Also of a route that is declared nowhere yet, or was before the suite loaded.
      admission.checkRoute(routeOf({ url, method: method ?? 'GET' }))
      if (!isDeclared(app, url, method)) app.log.warn(`routes[${JSON.stringify(route)}] of fastify-surge matches no declared route`)
    }
  })
}

function isDeclared (app: FastifyInstance, url: string, method: string | undefined): boolean {
  return (method === undefined ? app.supportedMethods : [method]).some(method => app.hasRoute({ method: method as 'GET', url }))
}

/**
 * Registers the suite: `await app.register(surge, { … })`, before the routes that it protects.
 * @throws FST_SURGE_BAD_OPTION, FST_SURGE_CLASH, FST_SURGE_DUPLICATE at boot
 */
export default fp(surge, { fastify: '5.x', name: 'fastify-surge' })
