// The one onSend hook of a route: it takes the payload and makes the representation that this request gets, in the
// order eligible? → validator → preconditions → encoding → headers. It prevents the defects of two hooks that do not
// know of each other: one strong tag on every coding, 304 for a POST, Vary on some replies only.
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { NotAcceptable, PreconditionFailed } from '../shared/errors.ts'
import type { ContextBudget } from './context-budget.ts'
import { isEncodable, varyByEncoding, type Fields } from './eligibility.ts'
import type { Encoder } from './encoder.ts'
import { isCompressed, isShaped, refuse, sendNotModified, shape, unshape, type Done } from './endings.ts'
import { encodedTag, variants, weaken } from './entity-tag.ts'
import { type Encoding, type Negotiator, PLAIN } from './negotiation.ts'
import type { Official } from './official.ts'
import type { RouteSettings } from './options.ts'
import { discard, isStream, isWhole, unwrapResponse } from './payload.ts'
import { evaluate, isConditional } from './preconditions.ts'
import { leavesRefusals } from '../shared/refusal.ts'
import { ticketOf } from '../shared/ticket.ts'
import type { Kept, RepresentationCache } from './representation-cache.ts'
import { contentHash, type Validator } from './validator.ts'
import type { Savings } from './savings.ts'
import { heldBy, notedOn } from './version-handler.ts'
import type { Versions } from './versions.ts'

export interface Parts extends RouteSettings {
  /** Tells the representations of differently configured encoders apart in the cache. */
  readonly id: string
  readonly validator: Validator
  readonly negotiator: Negotiator
  readonly encoder: Encoder
  readonly official: Official
  readonly cache: RepresentationCache | undefined
  readonly budget: ContextBudget
  readonly savings: Savings
  /** Of a route with `version`. */
  readonly versions: Versions | undefined
}

export type OnSend = (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done) => void

/**
 * @param autoHead Fastify's own hook on an automatic HEAD route, which drops the body and tells its length. Ours has to
 * come before it, for GET's length, and in its place for a 304, which has none.
 */
export function representationHook (parts: Parts, autoHead: OnSend | undefined): OnSend {
  const { options, encode, onDemand, negotiator, validator, official, versions, savings } = parts
  const { etag: mode, threshold, inflateIfDeflated, onUnsupportedEncoding } = options
  const isCompressible = (type: string) => official.isCompressible(type)
  // Fastify's hook reads null, which a Response without a body becomes, as if it were a stream.
  const finish: OnSend = autoHead === undefined ? passOn : (request, reply, payload, done) => autoHead(request, reply, payload ?? undefined, done)

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
    // Once, instead of ten look-ups one by one.
    const fields = reply.getHeaders() as Fields
    if (status >= 500) {
      // A failure is not what the app's tag names, and a refusal has to stay cheap: nobody caches it by its coding.
      if (fields.etag !== undefined) {
        reply.removeHeader('etag')
        fields.etag = undefined
      }
      if (whole && isBelow(payload, threshold)) return finish(request, reply, payload, done)
    }
    const body = whole || isStream(payload)
    const encodable = encodes && (body || method === 'HEAD') && isEncodable(status, fields, isCompressible)
    const choice = encodable && body && headers['x-no-compression'] === undefined ? negotiator.choose(headers['accept-encoding'] as string | undefined) : PLAIN
    if (!choice.listed && onUnsupportedEncoding !== undefined) return sendUnsupported(request, reply, payload, done)
    if (!choice.listed && !choice.identity && retrieves && succeeds) {
      return refuse(reply, payload, new NotAcceptable(), done)
    }
    let coding: Encoding | 'identity' = choice.encoding
    if (whole && coding !== 'identity' && choice.identity && isBelow(payload, threshold)) coding = 'identity'

    const own = fields.etag as string | undefined
    const makesTag = mode !== false && own === undefined && whole && retrieves && succeeds && status !== 204 && status !== 206
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
        return sendNotModified(reply, payload, encodable, tag, done)
      }
      if (verdict === 'failed') {
        savings.failed++
        return refuse(reply, payload, new PreconditionFailed(), done)
      }
    }

    if (encodable) reply.header('vary', varyByEncoding(fields.vary))
    if (coding === 'identity') {
      if (plain !== undefined) shape(reply, plain)
      if (versions !== undefined) keepVersion(request, reply, payload, undefined, plain, plain)
      return finish(request, reply, payload, done)
    }
    // The hash that made the tag is the key, if it is ours: an app's own tag, or a weak hash, may name two bodies.
    const hash = made !== undefined && options.hashFn === undefined && options.algorithm === undefined ? made : undefined
    encodeBody({ request, reply, payload, coding, plain, tag, hash, done }, retrieves && status === 200)
  }

  interface Selected {
    request: FastifyRequest
    reply: FastifyReply
    payload: unknown
    coding: Encoding
    /** The tags of the plain and the encoded representation. */
    plain: string | undefined
    tag: string | undefined
    hash: string | undefined
    done: Done
  }

  function encodeBody (selected: Selected, comesBack: boolean): void {
    const { reply, coding } = selected
    const payload = selected.payload as string | Buffer
    const { encoder, cache, budget } = parts
    const keepsLength = !options.removeContentLengthHeader && reply.hasHeader('content-length')
    if (!isWhole(payload) || !encoder.isOneShot(coding) || keepsLength) return encodeStream(selected)

    const key = cache !== undefined && comesBack ? `${parts.id} ${coding} ${selected.hash ?? contentHash(payload)}` : undefined
    const cached = key === undefined ? undefined : cache!.get(key)
    if (cached !== undefined) return sendEncoded(selected, cached)

    if (!isBelow(payload, options.syncThreshold + 1)) {
      if (key !== undefined && cache!.join(key, ended)) return
      if (!budget.take()) return sendPlain(selected.request, reply, payload, selected.plain, selected.done)
      if (key === undefined) start(ended)
      else cache!.share(key, ended, start)
      return
    }
    let bytes: Buffer
    try {
      bytes = encoder.encodeSync(coding, payload)
    } catch (err) {
      return ended(err as Error, undefined)
    }
    if (key !== undefined) cache!.offer(key, bytes)
    sendEncoded(selected, bytes)

    function start (settle: (error: Error | null, bytes: Buffer | undefined) => void): void {
      encoder.encode(coding, payload, (error, bytes) => {
        budget.give()
        settle(error, bytes)
      })
    }

    function ended (error: Error | null, bytes: Buffer | undefined): void {
      // A deadline may have answered in the meantime.
      if (reply.sent || reply.raw.headersSent) return
      if (bytes !== undefined) return sendEncoded(selected, bytes)
      selected.request.log.error({ err: error }, 'the reply could not be encoded and goes out plain')
      sendPlain(selected.request, reply, payload, selected.plain, selected.done)
    }
  }

  function encodeStream (selected: Selected): void {
    const { request, reply, payload, coding, plain, tag, done } = selected
    if (request.method === 'HEAD') {
      shape(reply, tag)
      withdrawRanges(reply)
      reply.header('content-encoding', coding)
      if (options.removeContentLengthHeader) reply.removeHeader('content-length')
      discard(payload)
      return done(null, null)
    }
    if (!parts.budget.take()) return sendPlain(request, reply, payload, plain, done)
    const vary = reply.getHeader('vary')
    shape(reply, tag)
    withdrawRanges(reply)
    const stream = isWhole(payload) ? Readable.from([Buffer.from(payload as string)]) : payload
    official.encode(coding, reply, stream, parts.budget, (error, encoded) => {
      // It looks for the name in lower case only, and would list it twice.
      reply.header('vary', vary)
      done(error, encoded)
    })
  }

  /** Past the cap, or where encoding failed: plain for this once. */
  function sendPlain (request: FastifyRequest, reply: FastifyReply, payload: unknown, tag: string | undefined, done: Done): void {
    if (tag !== undefined) shape(reply, tag)
    finish(request, reply, payload, done)
  }

  function sendEncoded ({ request, reply, payload, coding, tag, plain, done }: Selected, bytes: Buffer): void {
    const plainBytes = typeof payload === 'string' ? Buffer.byteLength(payload) : (payload as Buffer).length
    if (request.method !== 'HEAD') savings.encoded(plainBytes, bytes.length)
    shape(reply, tag)
    withdrawRanges(reply)
    reply.header('content-encoding', coding)
    if (reply.hasHeader('content-length')) reply.header('content-length', String(bytes.length))
    if (versions !== undefined) keepVersion(request, reply, bytes, plainBytes, tag, plain)
    finish(request, reply, bytes, done)
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

/** The app's ranges are of plain bytes, and of no use to a client that holds encoded ones (RFC 9110 section 14.3). */
function withdrawRanges (reply: FastifyReply): void {
  if (reply.hasHeader('accept-ranges')) reply.removeHeader('accept-ranges')
}

/** Without counting bytes where the number of characters says it already. */
function isBelow (payload: string | Buffer, bytes: number): boolean {
  if (typeof payload !== 'string') return payload.length < bytes
  return payload.length < bytes && (payload.length * 3 < bytes || Buffer.byteLength(payload) < bytes)
}
