// The options of the metrics plugin: where they are read, and what may be measured beside the requests.
import { BadOption } from '../shared/errors.ts'
import { either, func, isObject, oneOf, path, readOptions, show, string, type Rules } from '../shared/check.ts'
import type { FastifyRequest } from 'fastify'
import type { Span } from './span.ts'

export interface PageOptions {
  /** Path of the page. @default '/surge' */
  path: string
  /** URL of a script of your own that the page loads behind its charts, as a module. @default none */
  script?: string
}

export interface Metrics {
  /** Path that answers with Prometheus or OpenMetrics text; false for none. @default '/metrics' */
  endpoint: string | false
  /** Path of a page with live charts, or its options; false for none. @default false */
  page: string | false | PageOptions
  /**
   * A header that your proxy sets to when it took the request ('x-request-start'), in seconds, milli-, micro- or
   * nanoseconds since 1970, `t=` before it or not. Only where the proxy overwrites what clients send. @default none
   */
  startHeader?: string
  /** Names of upstreams by origin: `{ 'https://10.0.0.7:8443': 'payments' }`. @default the origin itself */
  upstreams: Record<string, string>
  /** The span of a request that is to carry the outcome of its admission, where @fastify/otel is not used. @default none */
  onSpan?: (request: FastifyRequest) => Span | undefined
}

export type MetricsOptions = Partial<Omit<Metrics, 'page'>> & { page?: string | false | Partial<PageOptions> }
export type ResolvedOptions = Omit<Metrics, 'page'> & { page: PageOptions | false }

const defaults: Metrics = { endpoint: '/metrics', page: false, upstreams: {} }
const pageDefaults: PageOptions = { path: '/surge' }

const pageRules: Rules<PageOptions> = { path, script: string }

const rules: Rules<Metrics> = {
  endpoint: either(path, oneOf(false)),
  page: {
    expects: "a path that begins with '/', an object, or false",
    accepts: value => value === false || path.accepts(value) || isObject(value),
    read: (value, path) => typeof value === 'object' ? readOptions(path, value, pageRules, pageDefaults) : value
  },
  startHeader: string,
  upstreams: { expects: 'an object of names by origin', accepts: isObject, read: readUpstreams },
  onSpan: func
}

function readUpstreams (upstreams: Record<string, unknown>, path: string): Record<string, string> {
  return Object.fromEntries(Object.entries(upstreams).map(([origin, name]) => {
    if (!URL.canParse(origin) || new URL(origin).origin === 'null') throw new BadOption(`Expected a key of \`${path}\` to be an origin such as 'https://api.test', got ${show(origin)}`)
    if (!string.accepts(name)) throw new BadOption(`Expected \`${path}[${show(origin)}]\` to be ${string.expects}, got ${show(name)}`)
    return [new URL(origin).origin, name as string]
  }))
}

/** @throws FST_SURGE_BAD_OPTION */
export function readMetrics (input: MetricsOptions): ResolvedOptions {
  const { page, ...options } = readOptions<Metrics>('metrics', input, rules, defaults)
  const read = typeof page === 'string' ? { ...pageDefaults, path: page } : page
  if (read !== false && (read.path === options.endpoint || read.path === '/')) {
    throw new BadOption(`Expected \`metrics.page\` to be a path of its own, got ${show(read.path)}`)
  }
  return { ...options, ...(options.startHeader === undefined ? {} : { startHeader: options.startHeader.toLowerCase() }), page: read }
}
