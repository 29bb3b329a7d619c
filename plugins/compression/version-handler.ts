// Puts the look for a kept version in front of a route's handler. Not a hook: hooks that others attach to the route later,
// an authentication among them, would run behind it, and be skipped by whatever it answers.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { show } from '../shared/check.ts'
import { isPromise } from '../shared/promise.ts'
import { addVary } from './eligibility.ts'
import { shape } from './endings.ts'
import { variants, type TagMode } from './entity-tag.ts'
import { type Choice, type Encoding, type Negotiator, PLAIN } from './negotiation.ts'
import { evaluate, isConditional } from './preconditions.ts'
import { isVersion, type Noted, type Representation, type Version, type Versions } from './versions.ts'

const kHeld = Symbol('fastify-surge.held')
const kNoted = Symbol('fastify-surge.noted')

interface Marked { [kHeld]?: Representation, [kNoted]?: Noted }

/** The kept representation that this reply sends. */
export function heldBy (reply: FastifyReply): Representation | undefined {
  return (reply as Marked)[kHeld]
}

/** What to keep the reply under, once it is made. */
export function notedOn (reply: FastifyReply): Noted | undefined {
  return (reply as Marked)[kNoted]
}

type Handler = (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) => unknown

interface Rules {
  readonly versions: Versions
  readonly negotiator: Negotiator
  readonly options: { readonly encodings: ReadonlyArray<Encoding | 'identity'>, readonly etag: TagMode }
}

export function versionedHandler (handler: Handler, { versions, negotiator, options }: Rules): Handler {
  function answerByVersion (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply): unknown {
    const { method, headers } = request
    if ((method !== 'GET' && method !== 'HEAD') || headers.range !== undefined) return handler.call(this, request, reply)
    const choice = headers['x-no-compression'] === undefined ? negotiator.choose(headers['accept-encoding'] as string | undefined) : PLAIN
    // It gets a 406, or what the app makes of it.
    if (!choice.listed) return handler.call(this, request, reply)

    let version: Version | Promise<Version>
    try {
      version = versions.ask(request)
    } catch (err) {
      return answer(this, request, reply, choice, unknown(request, err))
    }
    if (!isPromise(version)) return answer(this, request, reply, choice, version)
    return Promise.resolve(version).catch(err => unknown(request, err)).then(version => {
      // A handler that calls reply.send() returns nothing: then the reply is what to wait for.
      const result = answer(this, request, reply, choice, version)
      return result === undefined ? reply : result
    })
  }

  /** The handler makes the reply as well without a version; it only costs more. */
  function unknown (request: FastifyRequest, err: unknown): undefined {
    request.log.error({ err }, 'config.compression.version failed; the handler answers')
  }

  function answer (app: FastifyInstance, request: FastifyRequest, reply: FastifyReply, choice: Choice, version: Version): unknown {
    if (version != null && !isVersion(version)) version = unknown(request, new TypeError(`Expected a string or a number, got ${show(version)}`))
    if (version != null) {
      const held = versions.find(request, choice, version)
      const verdict = held === undefined ? 'failed' : judge(request, reply, held)
      if (verdict !== 'failed') return send(reply, held!, verdict === 'not-modified')
      if (request.method === 'GET') (reply as Marked)[kNoted] = { version, choice, before: reply.getHeaders() }
    }
    return handler.call(app, request, reply)
  }

  /** A failed precondition is the handler's: it may know better, and its reply becomes the 412. */
  function judge ({ headers }: FastifyRequest, reply: FastifyReply, { tag, plain, fields }: Representation) {
    if (options.etag === false || !isConditional(headers)) return 'proceed'
    return evaluate(headers, {
      etag: tag,
      current: () => plain === undefined ? [] : variants(plain, options.encodings, options.etag),
      lastModified: (fields.find(([name]) => name === 'last-modified')?.[1] ?? reply.getHeader('last-modified')) as string | undefined
    })
  }

  return answerByVersion
}

function send (reply: FastifyReply, held: Representation, notModified: boolean): void {
  for (const [name, value] of held.fields) {
    if (value === undefined) reply.removeHeader(name)
    else reply.header(name, name === 'vary' ? addVary(reply.getHeader('vary'), String(value)) : value)
  }
  if (notModified) {
    reply.code(304).send()
    return
  }
  (reply as Marked)[kHeld] = held
  shape(reply, undefined)
  reply.send(held.bytes)
}
