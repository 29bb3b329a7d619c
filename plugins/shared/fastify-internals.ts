// What Fastify knows and does not tell: its secondary listeners and the options it was made with. Read by the
// description of its symbols, in this file only; where a version has other names we see less and break nothing.
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import { isPromise } from './promise.ts'

function symbolOf (object: object, description: string): symbol | undefined {
  for (let scope: object | null = object; scope !== null; scope = Object.getPrototypeOf(scope)) {
    const symbol = Object.getOwnPropertySymbols(scope).find(symbol => symbol.description === description)
    if (symbol !== undefined) return symbol
  }
  return undefined
}

function internal (object: object, description: string): unknown {
  const symbol = symbolOf(object, description)
  return symbol === undefined ? undefined : (object as any)[symbol]
}

/** Every listener of the app: `listen()` on 'localhost' opens one an address. The secondary ones exist from `onListen` on. */
export function listenersOf (app: FastifyInstance): Server[] {
  const secondary = internal(app, 'fastify.serverBindings')
  return [app.server, ...(Array.isArray(secondary) ? secondary : [])]
}

/** The options that the app was made with. */
export function optionsOf (app: FastifyInstance): FastifyServerOptions {
  return internal(app, 'fastify.options') as FastifyServerOptions | undefined ?? {}
}

/** Adds options of node:http for the listeners that Fastify is yet to make; what is there already stays. */
export function addNodeOptions (app: FastifyInstance, added: object): void {
  const options = optionsOf(app) as { http?: object, https?: object | boolean | null, http2?: boolean }
  if (options.http2) return
  if (typeof options.https === 'object' && options.https !== null) options.https = { ...added, ...options.https }
  else options.http = { ...added, ...options.http }
}

/** The validator compiler of a context, made now if no route of it has needed one yet, and whether the user set it. */
export function validatorCompilerOf (app: FastifyInstance): { compile: (request: any) => any, custom: boolean } {
  const controller = internal(app, 'fastify.schemaController') as any
  controller?.setupValidator?.(optionsOf(app))
  const compile = controller?.validatorCompiler ?? app.validatorCompiler
  return { compile, custom: controller?.isCustomValidatorCompiler === true }
}

/** Reads one hidden property, whose symbol is looked for once, and again when the object is of another copy of Fastify. */
function reader<Value> (description: string): (object: object) => Value | undefined {
  let symbol: symbol | undefined
  return function read (object) {
    const value = symbol === undefined ? undefined : (object as any)[symbol]
    if (value !== undefined) return value
    symbol = symbolOf(object, description)
    return symbol === undefined ? undefined : (object as any)[symbol]
  }
}

interface Context {
  config?: object
  onSend?: readonly unknown[] | null
  handler?: (this: unknown, request: FastifyRequest, reply: FastifyReply) => any
  Reply?: { prototype: FastifyReply }
  errorHandler?: { func?: (error: unknown, request: FastifyRequest, reply: FastifyReply) => unknown }
}

const contextOf = reader<Context>('fastify.context')
/** Node's own: the parsers of a listener's connections; `idle()` are those between two requests. */
export const parsersOf = reader<{ idle: () => Array<{ socket: Socket | null }> }>('http.server.connections')
/** The headers that a reply has so far, by lowercase name, to be added to; undefined where this version hides them. */
export const headersOf: (reply: FastifyReply) => Record<string, any> | undefined = reader('fastify.reply.headers')
const trailersOf = reader<object | null>('fastify.reply.trailers')

/** The `config` of its route. `request.routeOptions` would make an object of twelve fields for it, each time. */
export function configOf (request: FastifyRequest): object {
  return contextOf(request)?.config ?? request.routeOptions.config
}

/** The onSend hooks that the reply to a request passes; undefined where this version hides them. */
export function onSendHooksOf (request: FastifyRequest): readonly unknown[] | undefined {
  const context = contextOf(request)
  return context === undefined ? undefined : context.onSend ?? []
}

const methodsOf = reader<{ bodywith: Set<string> }>('fastify.acceptedHTTPMethods')

/** Whether Fastify reads the body of a request, which it does by its method; where this version hides that, by what its own methods are. */
export function readsBody ({ server, method }: FastifyRequest): boolean {
  return methodsOf(server)?.bodywith.has(method) ?? !['GET', 'HEAD', 'TRACE'].includes(method)
}

/** True when nobody has set a header of this reply yet; false also where this version hides them. */
export function hasNoHeaders (reply: FastifyReply): boolean {
  const headers = headersOf(reply)
  return headers !== undefined && Object.keys(headers).length === 0 && reply.raw.getHeaderNames().length === 0
}

/** True when Fastify has something to write behind the body, or this version does not say so. */
export function mayHaveTrailers (reply: FastifyReply): boolean {
  return trailersOf(reply) !== null
}

/**
 * Keeps from a request what it has not come to yet, of parser, hooks and handler; `instead` is called in the place of the first of
 * them. `failed` is called in the place of the app's error handler.
 */
export function forgoHandler (request: FastifyRequest, instead: () => void, failed?: (error: unknown) => void): void {
  const kContext = symbolOf(request, 'fastify.context')
  const context = contextOf(request)
  if (kContext === undefined || context === undefined) return
  const forgone = Object.assign(Object.create(context), {
    preParsing: null,
    contentTypeParser: { run: instead },
    preValidation: null,
    preHandler: null,
    handler: instead
  })
  // Each failure of one reply goes to the prototype of the handler that had the one before.
  if (failed !== undefined) forgone.errorHandler = Object.create(Object.create({ func: failed }))
  ;(request as any)[kContext] = forgone
}

/**
 * Tells when the app's error handler is done with a failure of this request without an answer, as one is that asks first whether the
 * client is there. To be called behind `forgoHandler`, which gave the request a context of its own.
 */
export function watchErrorHandler (request: FastifyRequest, silent: () => void): void {
  const context = contextOf(request)
  const handler = context?.errorHandler
  if (handler?.func === undefined) return
  const { func } = handler
  // The next one, for a failure of this one, is its prototype.
  context!.errorHandler = Object.assign(Object.create(Object.getPrototypeOf(handler)), {
    func (error: unknown, request: FastifyRequest, reply: FastifyReply) {
      const result = func(error, request, reply)
      if (isPromise(result)) result.then(answer => { if (answer === undefined) silent() }, () => {})
      else if (result === undefined && !reply.sent) silent()
      return result
    }
  })
}

const kWatched = Symbol('fastify-surge.watched')

/**
 * For every request of this one's route, tells of the promise that its handler returned, and when somebody waits for the end of
 * its reply, as a handler does that returns it. Fastify hears the promise settle, but does nothing about one that resolves with
 * nothing when the client is gone. To be called once a route, at its first request.
 */
export function watchHandler (request: FastifyRequest, returned: (request: FastifyRequest, work: Promise<unknown>) => void, awaited: (request: FastifyRequest) => void): void {
  const context = contextOf(request)
  const handler = context?.handler
  const replies = context?.Reply?.prototype
  if (context === undefined || handler === undefined || kWatched in handler || typeof replies?.then !== 'function') return
  context.handler = marked(handler, function watchedHandler (this: unknown, request, reply) {
    const result = handler.call(this, request, reply)
    // Nothing else that has a then(): a query builder runs its query at each, and the reply itself has one.
    if (result instanceof Promise) returned(request, result)
    return result
  })
  const { then } = replies
  if (kWatched in then) return
  // On the app's own class of replies, as a decorator would be: to put it on each reply would cost each request.
  replies.then = marked(then, function watchedThen (this: FastifyReply, fulfilled, rejected) {
    awaited(this.request)
    return then.call(this, fulfilled, rejected)
  })
}

function marked<Function extends (...args: any[]) => any> ({ name, length }: Function, watching: Function): Function {
  return Object.defineProperties(watching, { name: { value: name }, length: { value: length }, [kWatched]: { value: true } })
}

type ParseString = (request: any, body: string, done: (error: Error | null, body?: unknown) => void) => void

/**
 * Puts another in the place of Fastify's own JSON parser, on this context and those below it. It counts as Fastify's own
 * still, so an app that adds a JSON parser later replaces it; one that is there already stays. False where this version hides it.
 */
export function replaceJsonParser (app: FastifyInstance, make: (own: ParseString) => ParseString): boolean {
  const parsers = internal(app, 'fastify.contentTypeParser') as any
  const kOwn = typeof parsers === 'object' && parsers !== null ? symbolOf(parsers, 'fastify.defaultJSONParse') : undefined
  if (kOwn === undefined || !(parsers.customParsers instanceof Map)) return false
  const own = parsers[kOwn]
  const parser = parsers.customParsers.get('application/json')
  if (typeof own !== 'function') return false
  if (parser?.fn !== own) return true
  if (parser.asString !== true) return false
  const fn = make(own)
  // A new entry: contexts that exist already share the old one.
  parsers.customParsers.set('application/json', { ...parser, fn })
  parsers[kOwn] = fn
  return true
}
