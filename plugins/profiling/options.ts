// The options of the profiling plugin: where it answers, and whom.
import type { FastifyRequest } from 'fastify'
import { boolean, func, path, readOptions, type Rules } from '../shared/check.ts'

export interface Profiling {
  /** Path before `/profile`, `/heap`, `/allocs` and `/inflight`. @default '/debug/pprof' */
  prefix: string
  /** True lets a request have it. Required where a listener is not bound to a loopback address. @default clients of this host */
  authorize?: (request: FastifyRequest) => boolean | Promise<boolean>
  /** Also `/heapsnapshot`, which stops the process for as long as it takes and holds every secret in memory. @default false */
  heapSnapshot: boolean
}

export type ProfilingOptions = Partial<Profiling>

const defaults: Profiling = { prefix: '/debug/pprof', heapSnapshot: false }
const rules: Rules<Profiling> = { prefix: path, authorize: func, heapSnapshot: boolean }

/** @throws FST_SURGE_BAD_OPTION */
export function readProfiling (input: ProfilingOptions): Profiling {
  const options = readOptions('profiling', input, rules, defaults)
  return { ...options, prefix: options.prefix.replace(/\/+$/, '') }
}
