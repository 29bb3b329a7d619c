// What is compared, in the order of the table, and what each is a ratio of.
import type { FastifyInstance } from 'fastify'

export interface Variant {
  /** The name of another variant. */
  to: string
  /** Registered as the umbrella. */
  suite?: boolean
  register: (app: FastifyInstance) => Promise<unknown>
}

const BARE = 'bare Fastify'
const SUITE = 'fastify-surge without metrics'
/** A burst is longer than any hello-world is late. */
const pressure = { maxEventLoopDelay: 10_000 }

export const variants: Record<string, Variant> = {
  [BARE]: {
    to: BARE,
    async register () {}
  },

  'fastify-metrics': {
    to: BARE,
    register: async app => await app.register((await import('fastify-metrics')).default as any, { defaultMetrics: { enabled: false } })
  },

  '… its histogram alone': {
    to: BARE,
    register: async app => await app.register((await import('fastify-metrics')).default as any, { defaultMetrics: { enabled: false }, routeMetrics: { enabled: { histogram: true, summary: false } } })
  },

  'fastify-surge/metrics': {
    to: BARE,
    register: async app => await app.register(import('fastify-surge/metrics'))
  },

  '… less what it measures: the admission that all plugins share': {
    to: BARE,
    register: async app => (await import('../../dist/shared/admission.js')).admissionOf(app)
  },

  [SUITE]: {
    to: SUITE,
    suite: true,
    register: async app => await app.register(import('fastify-surge'), { pressure, metrics: false })
  },

  'fastify-surge with metrics': {
    to: SUITE,
    suite: true,
    register: async app => await app.register(import('fastify-surge'), { pressure })
  }
}
