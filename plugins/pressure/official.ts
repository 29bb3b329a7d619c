// @fastify/under-pressure in a private child context: it samples memory and utilization, runs the health check and
// declares the status route. Its own onRequest hook stays in there, and would shed the status route if that let it.
import type { FastifyInstance } from 'fastify'
import underPressure, { type FastifyUnderPressureOptions } from '@fastify/under-pressure'
import { EXEMPT } from '../shared/route.ts'
import type { Pressure } from './options.ts'
import type { Sample } from './verdict.ts'

export interface Official {
  memory: () => Sample
  healthy: () => boolean
}

export const DEFAULT_STATUS_URL = '/status'

export async function registerOfficial (app: FastifyInstance, options: Pressure): Promise<Official> {
  const { healthCheck, healthCheckInterval, sampleInterval, eventLoopUtilizationMode, message, retryAfter, customError, exposeStatusRoute } = options
  let official: Official | undefined
  await app.register(async function surgePressureSampler (child) {
    await child.register(underPressure, {
      sampleInterval,
      eventLoopUtilizationMode,
      message,
      retryAfter,
      customError: typeof customError === 'function' ? customError : undefined,
      ...(healthCheck && { healthCheck: () => healthCheck(app), healthCheckInterval }),
      exposeStatusRoute: exposeStatusRoute === false ? false : statusRoute(exposeStatusRoute)
    } as FastifyUnderPressureOptions)
    official = {
      memory: child.memoryUsage,
      // With no limits of its own only the health check can put it under pressure. Without an interval that was
      // called once, at boot, and nobody would ever take its verdict back.
      healthy: healthCheckInterval === undefined ? () => true : () => !child.isUnderPressure()
    }
  })
  return official!
}

function statusRoute (given: Exclude<Pressure['exposeStatusRoute'], false>) {
  const { url = DEFAULT_STATUS_URL, routeOpts = {}, ...rest } = typeof given === 'object' ? given : { url: given === true ? undefined : given }
  const { config, ...routeRest } = routeOpts as { config?: object }
  return {
    ...rest,
    url,
    routeOpts: { ...routeRest, config: { pressureHandler: letPass, ...config, ...EXEMPT } },
    routeSchemaOpts: { hide: true, ...(rest as { routeSchemaOpts?: object }).routeSchemaOpts }
  }
}

function letPass () {}
