// The options of pressure shedding: @fastify/under-pressure's, with defaults that protect without tuning and checks
// instead of values that silently mean "off".
import { getHeapStatistics } from 'node:v8'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyUnderPressureOptions } from '@fastify/under-pressure'
import { boolean, either, func, integer, isObject, milliseconds, number, oneOf, path, readOptions, string, type Rule, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import type { PressureType } from './verdict.ts'

/**
 * Decides in place of the 503: what it returns, or resolves to, is sent; with nothing returned and nothing sent the
 * request goes on.
 */
export type PressureHandler = (request: FastifyRequest, reply: FastifyReply, type: PressureType, value: number | undefined) => unknown

export interface StatusRoute {
  url?: string
  routeOpts?: object
  routeSchemaOpts?: object
  routeResponseSchemaOpts?: object
}

export interface Pressure {
  /** Milliseconds that the event loop was late, 99th percentile of a sample; false is off. @default 500 */
  maxEventLoopDelay: number | false
  /** Bytes of heap in use; false is off. @default 90% of what V8 allows the old generation */
  maxHeapUsedBytes: number | false
  /** Bytes of resident memory; false is off. @default false */
  maxRssBytes: number | false
  /** Share of a sample that the loop was busy, from 0 to 1; false is off. @default false */
  maxEventLoopUtilization: number | false
  /** Share of a limit that a value must fall below it before everybody is let in again; from 0 to below 1. @default 0.1 */
  hysteresis: number
  /** 'interval' measures each sample, 'cumulative' the time since start. @default 'interval' */
  eventLoopUtilizationMode: 'interval' | 'cumulative'
  /** Milliseconds between two samples. An integer ≥ 10. @default 1000 */
  sampleInterval: number
  /** False, or a rejection, is pressure; an object is the status route's answer. @default none */
  healthCheck: ((app: FastifyInstance) => Promise<Record<string, unknown> | boolean>) | undefined
  /** Milliseconds between two health checks. An integer ≥ 1. @default at the status route only */
  healthCheckInterval: number | undefined
  /** A route that answers while the process lives and the health check holds: true for '/status', a path, or an object. @default false */
  exposeStatusRoute: boolean | string | StatusRoute
  /** Message of the 503. @default 'The server is under pressure' */
  message: string | undefined
  /** Seconds of Retry-After, before jitter. An integer ≥ 1. @default 10 */
  retryAfter: number
  /** An Error, or a class of one, that the app's error handler is given in place of the prepared 503. @default none */
  customError: Error | (new () => Error) | undefined
  /** Decides in place of the 503. @default none */
  pressureHandler: PressureHandler | undefined
  /** Samples, counts and logs, but refuses nothing. @default the umbrella's, else false */
  dryRun: boolean | undefined
}

export interface PressureOptions extends Omit<FastifyUnderPressureOptions, 'maxEventLoopDelay' | 'maxHeapUsedBytes' | 'maxRssBytes' | 'maxEventLoopUtilization' | 'exposeStatusRoute' | 'pressureHandler'> {
  maxEventLoopDelay?: number | false
  maxHeapUsedBytes?: number | false
  maxRssBytes?: number | false
  maxEventLoopUtilization?: number | false
  hysteresis?: number
  exposeStatusRoute?: boolean | string | StatusRoute
  pressureHandler?: PressureHandler
  dryRun?: boolean
}

const MIB = 1024 * 1024
/** V8 counts three semi-spaces into its limit: of 16 MiB up to Node 22, of up to 64 MiB since. */
const YOUNG_GENERATION_BYTES = 3 * (Number.parseInt(process.versions.v8) < 13 ? 16 : 64) * MIB
const OLD_GENERATION_FLAG = /--max[-_]old[-_]space[-_]size[= ](\d+)/

/**
 * 90% of what the old generation may take, where a heap dies long before it reaches V8's whole limit when that is small.
 * @param flags the command line and NODE_OPTIONS, which may say it exactly
 */
export function defaultMaxHeap (heapSizeLimit: number, flags: string): number {
  const flag = OLD_GENERATION_FLAG.exec(flags)
  const old = flag === null ? Math.max(heapSizeLimit - YOUNG_GENERATION_BYTES, heapSizeLimit / 4) : Number(flag[1]) * MIB
  return Math.floor(0.9 * old)
}

/** 0 is off too, as in @fastify/under-pressure. */
function orOff (rule: Rule): Rule {
  return { ...rule, expects: `${rule.expects}, or false`, accepts: value => value === false || rule.accepts(value), read: value => value === 0 ? false : value }
}

const statusRoute: Rule = {
  expects: "true, a path that begins with '/', or an object",
  accepts: value => typeof value === 'boolean' || path.accepts(value) || isObject(value),
  read: (value, at) => isObject(value)
    ? readOptions<StatusRoute>(at, value, { url: path, routeOpts: anObject, routeSchemaOpts: anObject, routeResponseSchemaOpts: anObject }, {})
    : value
}

const anObject: Rule = { expects: 'an object', accepts: isObject }
const errorOrClass: Rule = { expects: 'an Error or a class of one', accepts: value => value instanceof Error || typeof value === 'function' }

const rules: Rules<Pressure> = {
  maxEventLoopDelay: orOff(number(0)),
  maxHeapUsedBytes: orOff(integer(0)),
  maxRssBytes: orOff(integer(0)),
  maxEventLoopUtilization: orOff(number(0, 1)),
  hysteresis: { expects: 'a number from 0 to below 1', accepts: value => number(0, 1).accepts(value) && value !== 1 },
  eventLoopUtilizationMode: oneOf('interval', 'cumulative'),
  sampleInterval: milliseconds(10),
  healthCheck: either(oneOf(false), func),
  healthCheckInterval: milliseconds(),
  exposeStatusRoute: statusRoute,
  message: string,
  retryAfter: integer(1),
  customError: errorOrClass,
  pressureHandler: func,
  dryRun: boolean
}

/** @throws FST_SURGE_BAD_OPTION */
export function readPressure (input: PressureOptions): Pressure {
  const options = readOptions<Pressure>('pressure', input, rules, {
    maxEventLoopDelay: 500,
    maxHeapUsedBytes: defaultMaxHeap(getHeapStatistics().heap_size_limit, [...process.execArgv, process.env.NODE_OPTIONS].join(' ')),
    maxRssBytes: false,
    maxEventLoopUtilization: false,
    hysteresis: 0.1,
    eventLoopUtilizationMode: 'interval',
    sampleInterval: 1000,
    healthCheck: undefined,
    healthCheckInterval: undefined,
    exposeStatusRoute: false,
    message: undefined,
    retryAfter: 10,
    customError: undefined,
    pressureHandler: undefined,
    dryRun: undefined
  })
  if (options.healthCheck && options.healthCheckInterval === undefined && options.exposeStatusRoute === false) {
    throw new BadOption('`pressure.healthCheck` is never called: give `pressure.healthCheckInterval` (milliseconds) or `pressure.exposeStatusRoute` too')
  }
  return options
}

/** @throws FST_SURGE_BAD_OPTION unless it is false or nothing */
export const routeRule: Rule = { expects: 'false (this route is never shed), or nothing', accepts: value => value === false || value === undefined }
export const handlerRule: Rule = func
