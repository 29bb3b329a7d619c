// The one onSend hook of a route: it takes the payload and makes the representation that this request gets, in the
// order eligible? → validator → preconditions → encoding → headers. It prevents the defects of two hooks that do not
// know of each other: one strong tag on every coding, 304 for a POST, Vary on some replies only.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { NotAcceptable, PreconditionFailed } from '../shared/errors.ts'
import { headersOf } from '../shared/fastify-internals.ts'
import { leavesRefusals } from '../shared/refusal.ts'
import { ticketOf } from '../shared/ticket.ts'
import { isNegotiable, PARTIAL, varyByEncoding, type Fields } from './eligibility.ts'
import { isCompressed, isShaped, refuse, sendNotModified, shape, unshape, type Done } from './endings.ts'
import { encodedTag, tagOf, variants, weaken } from './entity-tag.ts'
import { type Encoding, PLAIN } from './negotiation.ts'
import type { OnSend, Parts } from './parts.ts'
import { discard, isBelow, isStream, isWhole, unwrapResponse } from './payload.ts'
import { evaluate, isConditional } from './preconditions.ts'
import { replyEncoder } from './reply-encoder.ts'
import type { Kept } from './representation-cache.ts'
import { heldBy, notedOn } from './version-handler.ts'

/**
 * @param autoHead Fastify's own hook on an automatic HEAD route, which drops the body and tells its length. Ours has to
 * come before it, for GET's length, and in its place for a 304, which has none.
 */
export function representationHook (parts: Parts, autoHead: OnSend | undefined): OnSend {
  const { options, encode, onDemand, negotiator, validator, hashes, official, versions, savings } = parts
  const { etag: mode, threshold, inflateIfDeflated, onUnsupportedEncoding } = options
  const isCompressible = (type: string) => official.isCompressible(type)
  // Fastify's hook reads null, which a Response without a body becomes, as if it were a stream.
  const finish: OnSend = autoHead === undefined ? passOn : (request, reply, payload, done) => autoHead(request, reply, payload ?? undefined, done)
  const encodeReply = replyEncoder(parts, finish, ({ request, reply, tag, plain }, bytes, plainBytes) => {
    if (versions !== undefined) keepVersion(request, reply, bytes, plainBytes, tag, plain)
  })

  function representation (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): void {
    // An aborted reply still passes here once its handler has settled: nobody will read what we would compute.
    if (reply.raw.destroyed) return done(null, payload)
    // Prepared, small and never stored: past the limit, what a refusal costs decides the goodput.
    if (ticketOf(request.raw)?.refused) return finish(request, reply, payload, done)
    const held = versions === undefined ? undefined : heldBy(reply)
    if (held !== undefined && reply.statusCode === 200) return sendHeld(request, reply, payload, held, done)
    if (isShaped(reply)) unshape(reply)
    if (typeof payload === 'object') payload = unwrapResponse(reply, payload)
    if (inflateIfDeflated && payload != null) {
      official.inflate(reply, payload, (error, inflated) => {
        if (error != null) return done(error)
        if (inflated !== payload) reply.removeHeader('content-length')
        select(request, reply, inflated, done)
      })
      return
    }
    select(request, reply, payload, done)
  }

  /** What the app's hooks make of these bytes they made of them before they were kept. */
  function sendHeld (request: FastifyRequest, reply: FastifyReply, payload: unknown, { bytes, plainBytes }: Kept, done: Done): void {
    if (payload !== bytes) discard(payload)
    if (plainBytes !== undefined && request.method === 'GET') savings.encoded(plainBytes, bytes.length)
    if (reply.hasHeader('content-length')) reply.header('content-length', String(bytes.length))
    finish(request, reply, bytes, done)
  }

  /** A reply whose handler ran is kept under the version that was asked for before. */
  function keepVersion (request: FastifyRequest, reply: FastifyReply, body: unknown, plainBytes: number | undefined, tag: string | undefined, plain: string | undefined): void {
    const noted = notedOn(reply)
    if (noted !== undefined && reply.statusCode === 200 && isWhole(body)) versions!.offer(request, reply, noted, body, plainBytes, tag, plain)
  }

  function select (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): void {
    const status = reply.statusCode
    const { method, headers } = request
    const retrieves = method === 'GET' || method === 'HEAD'
    const succeeds = status >= 200 && status < 300
    const encodes = encode || (onDemand && isCompressed(reply))
    if (status === 304) {
      savings.notModified++
      return sendNotModified(reply, payload, encodes, undefined, done)
    }

    const whole = isWhole(payload)
    const fields = fieldsOf(reply)
    // A failure is not what the app's tag names, and a refusal has to stay cheap: nobody caches it by its coding.
    const fails = status >= 500
    if (fails) {
      reply.removeHeader('etag')
      if (whole && isBelow(payload, threshold)) return finish(request, reply, payload, done)
    }
    const body = whole || isStream(payload)
    // What an automatic HEAD has none of, GET has none of either.
    const negotiable = encodes && (body || (method === 'HEAD' && autoHead === undefined)) && isNegotiable(status, fields, isCompressible)
    const encodable = negotiable && status !== PARTIAL
    const choice = encodable && body && headers['x-no-compression'] === undefined ? negotiator.choose(headers['accept-encoding'] as string | undefined) : PLAIN
    if (!choice.listed && onUnsupportedEncoding !== undefined) return sendUnsupported(request, reply, payload, done)
    if (!choice.listed && !choice.identity && retrieves && succeeds) {
      return refuse(reply, payload, new NotAcceptable(), done)
    }
    let coding: Encoding | 'identity' = choice.encoding
    if (whole && coding !== 'identity' && choice.identity && isBelow(payload, threshold)) coding = 'identity'

    const own = fails ? undefined : tagOf(fields.etag)
    const makesTag = mode !== false && own === undefined && whole && retrieves && succeeds && status !== 204 && status !== 205 && status !== PARTIAL
    const made = makesTag ? validator.tag(payload) : undefined
    const plain = own ?? (mode === 'weak' && made !== undefined ? weaken(made) : made)
    const tag = plain === undefined || coding === 'identity' ? plain : encodedTag(plain, coding, mode)

    if (mode !== false && retrieves && succeeds && isConditional(headers)) {
      const verdict = evaluate(headers, {
        etag: tag,
        current: () => plain === undefined ? [] : variants(plain, options.encodings, mode),
        lastModified: fields['last-modified'] as string | undefined
      })
      if (verdict === 'not-modified') {
        savings.notModified++
        return sendNotModified(reply, payload, negotiable, tag, done)
      }
      if (verdict === 'failed') {
        savings.failed++
        return refuse(reply, payload, new PreconditionFailed(), done)
      }
    }

    if (negotiable) reply.header('vary', varyByEncoding(fields.vary))
    if (coding === 'identity') {
      if (plain !== undefined) shape(reply, plain)
      if (versions !== undefined) keepVersion(request, reply, payload, undefined, plain, plain)
      return finish(request, reply, payload, done)
    }
    const hash = made !== undefined && validator === hashes ? made : undefined
    encodeReply({ request, reply, payload, fields, coding, plain, tag, hash, comesBack: retrieves && status === 200, done })
  }

  function sendUnsupported (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): void {
    discard(payload)
    let instead: unknown
    try {
      instead = onUnsupportedEncoding!(request.headers['accept-encoding'] as string, request, reply)
    } catch (err) {
      return done(err as Error)
    }
    reply.header('vary', varyByEncoding(reply.getHeader('vary')))
    reply.removeHeader('content-length')
    finish(request, reply, instead, done)
  }

  return leavesRefusals(representation)
}

function passOn (_request: FastifyRequest, _reply: FastifyReply, payload: unknown, done: Done): void {
  done(null, payload)
}

/** To be read only: a copy, where one is needed because the app has set fields on `reply.raw`, costs 2 % of a hello-world. */
function fieldsOf (reply: FastifyReply): Fields {
  const fields = reply.raw.getHeaderNames().length === 0 ? headersOf(reply) : undefined
  return fields ?? reply.getHeaders() as Fields
}
