// Gives each reply its validator, answers conditional requests, and encodes what is worth it, once. It prevents sending
// what the client has, compressing the same bytes twice, and the wrong bytes under the right tag.
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, RouteOptions as FastifyRoute } from 'fastify'
import type { FastifyCompressOptions } from '@fastify/compress'
import { definePlugin } from '../shared/define-plugin.ts'
import { listEarlyRoutes } from '../shared/early-routes.ts'
import { Clash } from '../shared/errors.ts'
import { instrumentsOf } from '../shared/instruments.ts'
import { watchForLater } from '../shared/late-clash.ts'
import { routeOf } from '../shared/route.ts'
import { routeSetting, type SuiteState } from '../shared/suite-state.ts'
import { ContextBudget } from './context-budget.ts'
import { Encoder } from './encoder.ts'
import { markCompressed } from './endings.ts'
import { weaken, type TagMode } from './entity-tag.ts'
import { Negotiator, type Encoding } from './negotiation.ts'
import { httpDateOf, matchedTag, quoted, type NotModified } from './not-modified.ts'
import { Official } from './official.ts'
import { readCompression, readRoute, type CompressionOptions, type ResolvedOptions, type RouteCompression, type RouteOptions, type RouteSettings } from './options.ts'
import type { OnSend, Parts } from './parts.ts'
import { evaluate } from './preconditions.ts'
import { RepresentationCache, type CacheOptions } from './representation-cache.ts'
import { representationHook } from './representation.ts'
import { Savings } from './savings.ts'
import { hashFnOf, Validator } from './validator.ts'
import { versionedHandler } from './version-handler.ts'
import { Versions, type Version, type VersionOf } from './versions.ts'

export type { CacheOptions, CompressionOptions, Encoding, FastifyCompressOptions, NotModified, RouteCompression, TagMode, Version, VersionOf }

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Sends a 304 and returns true when the request's preconditions say that its client has this representation; else
     * sets `ETag` and `Last-Modified` for the reply to come and returns false.
     */
    notModified (validators: NotModified): boolean
  }
  interface FastifyContextConfig {
    /** Options of this route over the plugin's; false leaves its replies alone. */
    compression?: RouteCompression
  }
}

const OFFICIAL = ['@fastify/compress', '@fastify/etag']
const kSettings = Symbol('fastify-surge.compression')

/** What one context shares: the parts of its routes, one set for all that have no options of their own. */
class Representations {
  readonly cache: RepresentationCache | undefined
  readonly budget: ContextBudget
  readonly savings = new Savings()
  readonly #hashes = new Validator()
  readonly #isStrained: () => boolean
  readonly #parts = new Map<RouteOptions, Omit<Parts, keyof RouteSettings | 'versions'>>()
  /** By route: a GET route and its automatic HEAD share theirs. */
  readonly #versions = new Map<string, Versions>()

  /** `isPressed` says that the process has little to spare. */
  constructor ({ cache, maxContexts }: ResolvedOptions, isPressed: () => boolean) {
    this.cache = cache === false ? undefined : new RepresentationCache(cache)
    this.budget = new ContextBudget(maxContexts)
    this.#isStrained = () => this.budget.strained || isPressed()
  }

  parts (settings: RouteSettings, route: string): Parts {
    const { options } = settings
    let made = this.#parts.get(options)
    if (made === undefined) {
      const encoder = new Encoder(options)
      const hash = options.algorithm === undefined ? options.hashFn : hashFnOf(options.algorithm)
      made = {
        id: String(this.#parts.size),
        encoder,
        validator: hash === undefined ? this.#hashes : new Validator(hash),
        hashes: this.#hashes,
        negotiator: new Negotiator(options.encodings),
        official: new Official(options, encoder, this.savings),
        cache: this.cache,
        budget: this.budget,
        isStrained: this.#isStrained,
        savings: this.savings
      }
      this.#parts.set(options, made)
    }
    return { ...made, ...settings, versions: this.#versionsOf(settings, route) }
  }

  #versionsOf ({ version }: RouteSettings, route: string): Versions | undefined {
    if (version === undefined) return undefined
    let versions = this.#versions.get(route)
    if (versions === undefined) this.#versions.set(route, versions = new Versions(this.cache!, route, version))
    return versions
  }
}

/** Fastify adds its own hook to an automatic HEAD route, behind those of the GET route. */
function isAutoHead (hook: unknown): boolean {
  return (hook as { name?: string } | undefined)?.name === 'headRouteOnSendHandler'
}

/** Route hooks run behind every instance hook, so that the app's own still see plain strings. */
function attachHook (route: FastifyRoute, parts: Parts): void {
  // A new array: Fastify uses one array for a GET route and its HEAD, and the app may for several routes.
  const hooks = [route.onSend ?? []].flat() as OnSend[]
  const autoHead = route.method === 'HEAD' && isAutoHead(hooks.at(-1)) ? hooks.pop() : undefined
  route.onSend = [...hooks, representationHook(parts, autoHead)] as FastifyRoute['onSend']
}

function compress (this: FastifyReply, payload: unknown): FastifyReply {
  markCompressed(this)
  return this.send(sendable(payload))
}

/** `reply.compress()` takes iterables and ArrayBuffers, for which `reply.send()` has no use. */
function sendable (payload: any): unknown {
  if (payload == null) return new Error('Internal server error')
  if (typeof payload !== 'object' || Array.isArray(payload) || ArrayBuffer.isView(payload) || payload.pipe !== undefined || payload.getReader !== undefined) return payload
  if (payload instanceof ArrayBuffer) return Buffer.from(payload)
  return Symbol.asyncIterator in payload || Symbol.iterator in payload ? Readable.from(payload, { objectMode: false }) : payload
}

function notModified (this: FastifyReply, { etag, lastModified }: NotModified): boolean {
  const { method, headers } = this.request
  const tag = etag === undefined ? undefined : quoted(etag)
  if (tag !== undefined) this.header('etag', tag)
  if (lastModified !== undefined) this.header('last-modified', httpDateOf(lastModified))
  if (method !== 'GET' && method !== 'HEAD') return false

  const settings = (this.routeOptions.config as unknown as Record<symbol, RouteSettings | undefined>)[kSettings]
  const variant = matchedTag(headers['if-none-match'], tag, settings?.options)
  const verdict = evaluate(headers, {
    etag: variant ?? tag,
    current: () => tag === undefined ? [] : [tag],
    lastModified: this.getHeader('last-modified') as string | undefined
  })
  if (verdict !== 'not-modified') return false
  if (variant !== undefined) this.header('etag', variant)
  // The 200 that this stands for may have been encoded: a weak tag names it in either case.
  else if (tag !== undefined && headers['accept-encoding'] !== undefined) this.header('etag', weaken(tag))
  this.code(304).send()
  return true
}

/** By the decorator of pressure, or of @fastify/under-pressure, whoever comes first; without either nobody knows. */
function isUnderPressure (app: FastifyInstance): boolean {
  const { isUnderPressure } = app as { isUnderPressure?: unknown }
  return typeof isUnderPressure === 'function' && isUnderPressure.call(app) === true
}

function refuseTaken (app: FastifyInstance): void {
  for (const name of ['compress', 'notModified']) {
    if (!app.hasReplyDecorator(name)) continue
    throw new Clash(`fastify-surge/compression adds \`reply.${name}\`, which exists already: remove the plugin that decorates it, or pass \`compression: false\` to fastify-surge.`)
  }
}

/**
 * @fastify/compress that is registered later finds its decorator taken and throws where nobody catches, which ends the
 * process. So its decorator is let through, and `watchForLater` fails the boot instead.
 */
function letLaterCompressPass (app: FastifyInstance): void {
  const { decorateReply } = app
  app.decorateReply = function decorateReplyOnce (this: FastifyInstance, name: string, ...rest: any[]) {
    if (name === 'compress' && this.hasPlugin('@fastify/compress')) return this
    return (decorateReply as any).call(this, name, ...rest)
  } as typeof app.decorateReply
}

function attach (app: FastifyInstance, representations: Representations, options: ResolvedOptions, suite: SuiteState): void {
  listEarlyRoutes(app, ['compression', 'ETag'])
  refuseTaken(app)
  representations.savings.register(instrumentsOf(app), representations.cache)
  app.decorateReply('compress', compress)
  app.decorateReply('notModified', notModified)

  function surgeRepresentationRoute (route: FastifyRoute): void {
    const facts = routeOf({ ...route.config, url: route.url, method: route.method })
    if (facts.exempt) return
    const settings = readRoute({
      compress: route.compress,
      decompress: route.decompress,
      config: routeSetting(suite, 'compression', facts.methods, facts.url, route.config),
      route: facts.key,
      methods: facts.methods
    }, options)
    if (settings === undefined) return
    route.config = { ...route.config, [kSettings]: settings } as typeof route.config
    const parts = representations.parts(settings, `${facts.url} ${JSON.stringify((route as { constraints?: object }).constraints ?? {})}`)
    attachHook(route, parts)
    if (parts.versions !== undefined) route.handler = versionedHandler(route.handler as any, { ...parts, versions: parts.versions }) as typeof route.handler
  }

  app.addHook('onRoute', surgeRepresentationRoute)
  letLaterCompressPass(app)
  watchForLater(app, OFFICIAL, 'compression', 'compression', 'refuse')
}

export default definePlugin<CompressionOptions, ResolvedOptions, Representations>({
  name: 'compression',
  key: 'compression',
  read: readCompression,
  perServer: false,
  replaces: OFFICIAL,
  create: (app, options) => new Representations(options, () => isUnderPressure(app)),
  attach
})
