// What is compared, in the order of the table.
import type { SurgeOptions } from 'fastify-surge'

export interface Variant {
  /** Made with serverOptions(). */
  set?: boolean
  /** Plugins of the suite that are on. */
  plugins?: SurgeOptions | 'server-defaults'
}

/** None of them is met here: it is what they cost that counts. */
export const limits = { maxConnections: 50_000, maxConnectionsPerIp: 1_000, maxRequestsPerSocket: 1_000_000 }

export const variants: Record<string, Variant> = {
  'bare Fastify': {},
  'bare Fastify, its settings those of `serverOptions()`': { set: true },
  'fastify-surge/server-defaults, every limit': { set: true, plugins: 'server-defaults' },
  'fastify-surge, every limit': { set: true, plugins: { serverDefaults: limits } },
  '… and `rateLimit`': { set: true, plugins: { serverDefaults: limits, rateLimit: { max: 1e9, timeWindow: '1 minute' } } }
}
