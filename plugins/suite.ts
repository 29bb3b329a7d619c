// The table of the suite: option key → plugin, in the order of registration. A new plugin is a folder and a row here;
// the umbrella's options, its checks and its switches all come from it.
import compression from './compression/index.ts'
import concurrency from './concurrency/index.ts'
import deadline from './deadline/index.ts'
import jsonStream from './json-stream/index.ts'
import lifecycle from './lifecycle/index.ts'
import loadBalancer from './load-balancer/index.ts'
import metrics from './metrics/index.ts'
import pressure from './pressure/index.ts'
import profiling from './profiling/index.ts'
import rateLimit from './rate-limit/index.ts'
import serverDefaults from './server-defaults/index.ts'
import workerPool from './worker-pool/index.ts'

export const suite = {
  /** First: the others measure against a server that is set up. */
  serverDefaults: { plugin: serverDefaults, folder: 'server-defaults', on: true },
  /** Before all others, so that its list has whom they hold. Off: it shows what the process does to whoever may see it. */
  profiling: { plugin: profiling, folder: 'profiling', on: false },
  /** Before all that may refuse, so that what they refuse is measured. */
  metrics: { plugin: metrics, folder: 'metrics', on: true },
  /** Before all that may refuse: probes are answered whatever the load. */
  lifecycle: { plugin: lifecycle, folder: 'lifecycle', on: true },
  /** Beside lifecycle, whose news it passes on. Off: only you know your balancers. */
  loadBalancer: { plugin: loadBalancer, folder: 'load-balancer', on: false },
  /** A server out of memory or time refuses before it spends either on counting clients. */
  pressure: { plugin: pressure, folder: 'pressure', on: true },
  /** Before the gates, so that one client's surplus takes nobody's place in a waiting room. Off: only you know a quota. */
  rateLimit: { plugin: rateLimit, folder: 'rate-limit', on: false },
  /** Before the gates: time spent waiting for a slot is time used. */
  deadline: { plugin: deadline, folder: 'deadline', on: true },
  /** Last of those that may refuse: whoever gets a slot gets a handler. */
  concurrency: { plugin: concurrency, folder: 'concurrency', on: true },
  /** On its way out a reply meets it last, so that it sees the bytes that leave. */
  compression: { plugin: compression, folder: 'compression', on: true },
  /** Adds to the routes that ask for it only. */
  jsonStream: { plugin: jsonStream, folder: 'json-stream', on: true },
  /** Nobody meets it on the way: handlers call it. Off: only you know what to run. */
  workerPool: { plugin: workerPool, folder: 'worker-pool', on: false }
} as const

export type SuiteKey = keyof typeof suite

/** What may stand in a route's `config`, and so in the umbrella's `routes`. */
export const ROUTE_KEYS = ['pressure', 'rateLimit', 'deadline', 'concurrency', 'compression', 'jsonStream'] as const satisfies SuiteKey[]

type PluginOptions<Plugin> = Plugin extends (app: any, options: infer Options, ...rest: any[]) => unknown ? Options : never

/** One switch a plugin: `false` turns it off, `true` on, an object on with these options. */
export type SuiteSwitches = { [Key in SuiteKey]?: boolean | PluginOptions<typeof suite[Key]['plugin']> }
