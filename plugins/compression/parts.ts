// What the replies of one route are made with; routes without options of their own share all of it.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ContextBudget } from './context-budget.ts'
import type { Encoder } from './encoder.ts'
import type { Done } from './endings.ts'
import type { Negotiator } from './negotiation.ts'
import type { Official } from './official.ts'
import type { RouteSettings } from './options.ts'
import type { RepresentationCache } from './representation-cache.ts'
import type { Savings } from './savings.ts'
import type { Validator } from './validator.ts'
import type { Versions } from './versions.ts'

export interface Parts extends RouteSettings {
  /** Tells the representations of differently configured encoders apart in the cache. */
  readonly id: string
  /** Makes the tags. */
  readonly validator: Validator
  /** Makes the keys of the cache: the same, unless the app hashes by its own means, which may give two bodies one hash. */
  readonly hashes: Validator
  readonly negotiator: Negotiator
  readonly encoder: Encoder
  readonly official: Official
  readonly cache: RepresentationCache | undefined
  readonly budget: ContextBudget
  /** There is little to spare: a lower level has to do. */
  readonly isStrained: () => boolean
  readonly savings: Savings
  /** Of a route with `version`. */
  readonly versions: Versions | undefined
}

export type OnSend = (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done) => void
