// Request bodies as async iterables: a route that opts in by `config.jsonStream` reads the elements of a JSON array, of NDJSON or
// of a selection as they arrive. It prevents a large import from being held in memory, as bytes and as objects, before the first
// element is looked at.
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { isObject } from '../shared/check.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { listEarlyRoutes } from '../shared/early-routes.ts'
import { BadOption, Clash, JsonContentEncoding, JsonMediaType, JsonStreamMisuse, JsonTooLarge } from '../shared/errors.ts'
import { replaceJsonParser, validatorCompilerOf } from '../shared/fastify-internals.ts'
import { streamOf } from '../shared/http2.ts'
import { routeSetting, type SuiteState } from '../shared/suite-state.ts'
import { ArrayEngine } from './array-engine.ts'
import { BodyReader } from './body-reader.ts'
import { depthLimited } from './depth-limited.ts'
import { ElementSchemas } from './element-schema.ts'
import { decoderFor } from './encodings.ts'
import type { Engine, EngineRules } from './engine.ts'
import type { JsonStreamError } from './failure.ts'
import { Guard } from './guard.ts'
import { JsonStream, type ElementError } from './json-stream.ts'
import { LinesEngine } from './lines-engine.ts'
import { readJsonStream, readRouteJsonStream, type JsonStreamLimits, type JsonStreamOptions, type JsonStreamSettings, type RouteJsonStreamOptions, type RouteJsonStreamSettings } from './options.ts'
import { RequestBody } from './request-body.ts'
import { SelectEngine } from './select-engine.ts'

export type { ElementError, JsonStream, JsonStreamError, JsonStreamLimits, JsonStreamOptions, RouteJsonStreamOptions }

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Stream the request body of this route; `request.jsonStream()` reads it. */
    jsonStream?: boolean | RouteJsonStreamOptions
  }
  interface FastifyRequest {
    /**
     * The elements of the body, as they arrive. Once a request, on routes with `config.jsonStream`. They are of the type that
     * `Body`, or the schema by a type provider, gives the elements of the array; where it is no array, as with a `path`, name theirs.
     */
    jsonStream: <T = ElementOf<this['body']>>() => JsonStream<T>
  }
}

/** What the body is an array of, if it is one. */
export type ElementOf<Body> = unknown extends Body ? unknown : NonNullable<Body> extends ReadonlyArray<infer Element> ? Element : unknown

const JSON_TYPE = 'application/json'
const LINE_TYPES = ['application/x-ndjson', 'application/jsonl']
/** Methods whose body Fastify does not read, and QUERY, which it refuses without the Content-Type that is hidden from it here. */
const WITHOUT_BODY = ['GET', 'HEAD', 'TRACE', 'QUERY']

const kBody = Symbol('fastify-surge.jsonStream.body')
const kRoute = Symbol('fastify-surge.jsonStream.route')

interface StreamingRoute {
  settings: RouteJsonStreamSettings
  rules: EngineRules
  schemas: ElementSchemas
  mediaTypes: string[]
}

interface StreamingRequest extends FastifyRequest {
  // Not declared to Fastify: it would give them to every request, of whatever route.
  [kBody]?: RequestBody
  [kRoute]?: StreamingRoute
}

export default definePlugin<JsonStreamOptions, JsonStreamSettings, null>({
  name: 'json-stream',
  key: 'jsonStream',
  read: readJsonStream,
  perServer: false,
  create: () => null,

  attach (app, _core, settings, suite) {
    if (app.hasRequestDecorator('jsonStream')) {
      throw new Clash('fastify-surge/json-stream adds `request.jsonStream`, which exists already: remove the plugin that decorates it, or pass `jsonStream: false` to fastify-surge.')
    }
    listEarlyRoutes(app, ['jsonStream'])
    if (settings.ordinaryRoutes) {
      const { maxDepth } = settings.limits
      const replaced = replaceJsonParser(app, own => depthLimited(own, maxDepth, suite.dryRun))
      if (!replaced) app.log.warn(`json-stream does not know the JSON parser of Fastify ${app.version}: \`limits.maxDepth\` holds for streamed bodies only`)
    }
    app.decorateRequest('jsonStream', jsonStream)
    app.addHook('onRoute', function surgeJsonStream (route) {
      addToRoute(this, route, settings, suite)
    })
  }
})

/** `request.jsonStream()` */
function jsonStream<T> (this: FastifyRequest): JsonStream<T> {
  const { [kBody]: body, [kRoute]: route } = this as StreamingRequest
  if (body === undefined || route === undefined) throw new JsonStreamMisuse('request.jsonStream() reads bodies of routes with `config: { jsonStream: true }` only')
  if (body.stream !== undefined) throw new JsonStreamMisuse('request.jsonStream() was called twice: the body is gone as it is read')
  if (this.body !== undefined) throw new JsonStreamMisuse('The body was parsed already: a preParsing hook that runs after json-stream read request.headers')
  const guard = new Guard(engineFor(route, body.mediaType), route.settings.limits.maxBytes)
  const stream = new JsonStream<T>(body.reader, guard, route.schemas.get(body.mediaType), route.settings.collectErrors, failure => body.leave(failure))
  body.stream = stream
  return stream
}

function engineFor ({ settings, rules }: StreamingRoute, mediaType: string | undefined): Engine {
  if (mediaType !== JSON_TYPE) return new LinesEngine(rules)
  return settings.select === undefined ? new ArrayEngine(settings.path, rules) : new SelectEngine(settings.select, rules)
}

function addToRoute (app: FastifyInstance, route: RouteOptions, plugin: JsonStreamSettings, suite: SuiteState): void {
  const methods = [route.method].flat()
  const wanted = routeSetting(suite, 'jsonStream', methods, route.url, route.config)
  if (wanted === undefined || wanted === false) return
  // A route's own bodyLimit is its maxBytes, unless its limits say otherwise.
  const base = route.bodyLimit === undefined ? plugin : { ...plugin, limits: { ...plugin.limits, maxBytes: route.bodyLimit } }
  const settings = readRouteJsonStream(wanted as true, base, `${methods.join(',')} ${route.url}`)
  const bodyless = methods.find(method => WITHOUT_BODY.includes(method.toUpperCase()))
  if (bodyless !== undefined) throw new BadOption(`Expected \`config.jsonStream\` on a route that takes a body, got ${bodyless} ${route.url}`)

  const types = settings.path.length > 0 || settings.select !== undefined ? [JSON_TYPE] : [JSON_TYPE, ...LINE_TYPES]
  const content = (route.schema?.body as any)?.content
  // A schema for some media types leaves no other to be taken: its elements would pass unjudged.
  const mediaTypes = isObject(content) ? types.filter(type => type in content) : types
  if (mediaTypes.length === 0) throw new BadOption(`Expected \`schema.body.content\` of ${methods.join(',')} ${route.url} to have ${types.join(' or ')}, got ${Object.keys(content).join(', ')}`)

  const { onProtoPoisoning = 'error', onConstructorPoisoning = 'error' } = app.initialConfig
  const streaming: StreamingRoute = {
    settings,
    rules: { ...settings.limits, onProtoPoisoning, onConstructorPoisoning },
    schemas: new ElementSchemas(settings.path, id => app.getSchema(id)),
    mediaTypes
  }
  if (isObject(route.schema) && route.schema.body !== undefined) {
    const given = route.validatorCompiler
    route.validatorCompiler = streaming.schemas.compiler(() => given === undefined ? validatorCompilerOf(app) : { compile: given, custom: true })
  }
  // New arrays: the old ones may be shared with other routes.
  route.preParsing = [...[route.preParsing ?? []].flat(), streamBody]
  route.onSend = [...[route.onSend ?? []].flat(), endBody]

  function streamBody (request: FastifyRequest, reply: FastifyReply, payload: any, done: (error: Error | null, payload?: any) => void): void {
    const { headers, mediaType } = request
    const { limits, encodings, idleTimeout } = settings
    // A preParsing hook that replaced the payload has decoded it.
    const encoding = payload === request.raw ? headers['content-encoding'] : undefined
    const decoder = decoderFor(encoding, encodings === false ? [] : encodings)
    const announced = payload === request.raw && headers['content-length'] !== undefined ? Number(headers['content-length']) : undefined
    const reader = new BodyReader(request.raw, payload, {
      decoder: decoder ?? undefined,
      encoding: encoding ?? 'identity',
      maxBytes: limits.maxBytes,
      maxRatio: limits.maxRatio,
      idleTimeout,
      clock: systemClock
    })
    const body = new RequestBody(reader, request.raw, reply.raw, mediaType, announced)
    const streamed = request as StreamingRequest
    streamed[kBody] = body
    streamed[kRoute] = streaming
    if (mediaType === undefined || !streaming.mediaTypes.includes(mediaType)) {
      // RFC 9110 section 15.5.16: a 415 may say what would have been taken.
      reply.header('accept', streaming.mediaTypes.join(', '))
      done(new JsonMediaType(streaming.mediaTypes.join(' or '), mediaType ?? 'no Content-Type'))
    } else if (decoder === null) {
      reply.header('accept-encoding', encodings === false ? 'identity' : encodings.join(', '))
      done(new JsonContentEncoding(encoding))
    } else if (announced !== undefined && announced > limits.maxBytes) {
      const refusal = new JsonTooLarge(limits.maxBytes)
      body.leave(refusal)
      done(refusal)
    } else {
      hideBody(request)
      done(null, payload)
    }
  }
}

/**
 * Keeps Fastify's parser away. It decides by the headers, once, right after the last preParsing hook: that one look sees none that
 * announce a body, so no parser runs, custom ones included, whatever the media type and `bodyLimit`. Every later look, such as that
 * of a preValidation hook, sees the real headers.
 */
function hideBody (request: FastifyRequest): void {
  Object.defineProperty(request, 'headers', {
    configurable: true,
    get () {
      delete (request as any).headers
      return {}
    },
    set (headers) {
      delete (request as any).headers
      request.headers = headers
    }
  })
}

function endBody (request: FastifyRequest, reply: FastifyReply, payload: any, done: (error: Error | null, payload?: any) => void): void {
  const body = (request as StreamingRequest)[kBody]
  // A reply that is a stream may be made of the body: it goes on reading.
  const isStream = typeof payload?.pipe === 'function' || typeof payload?.getReader === 'function' || payload instanceof Response
  if (body !== undefined) {
    if (body.ends && !reply.raw.headersSent && streamOf(request.raw) === undefined) reply.header('connection', 'close')
    if (!isStream) body.leaveUnread()
  }
  done(null, payload)
}
