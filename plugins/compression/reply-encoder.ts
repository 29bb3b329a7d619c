// Sends the encoded representation of a payload: from the cache, in one shot on the event loop or off it, or as a
// stream. It prevents paying twice for one body, and more contexts, or dearer ones, than the process can afford.
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Fields } from './eligibility.ts'
import { shape, type Done } from './endings.ts'
import { isWeak } from './entity-tag.ts'
import type { Encoding } from './negotiation.ts'
import { discard, isBelow, isWhole } from './payload.ts'
import type { OnSend, Parts } from './parts.ts'

/** A payload, and what was decided about it. */
export interface Selected {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly payload: unknown
  /** The reply's fields, to be read only. */
  readonly fields: Fields
  readonly coding: Encoding
  /** The tags of the plain and the encoded representation. */
  readonly plain: string | undefined
  readonly tag: string | undefined
  /** The body's hash, if it was needed for the tag. */
  readonly hash: string | undefined
  /** The same body may be asked for again. */
  readonly comesBack: boolean
  readonly done: Done
}

/** `sent` hears of each whole representation before it leaves. */
export function replyEncoder (parts: Parts, finish: OnSend, sent: (selected: Selected, bytes: Buffer, plainBytes: number) => void): (selected: Selected) => void {
  const { id, options, encoder, cache, budget, official, savings, hashes } = parts

  function encodeReply (selected: Selected): void {
    const { payload, coding, fields } = selected
    const keepsLength = !options.removeContentLengthHeader && fields['content-length'] !== undefined
    if (!isWhole(payload) || !encoder.isOneShot(coding) || keepsLength) return encodeStream(selected)
    if (cache === undefined || !selected.comesBack) return encodeWhole(selected, payload, undefined, isHasty(selected))

    const key = `${id} ${coding} ${selected.hash ?? hashes.tag(payload)}`
    const kept = cache.get(key)
    if (kept !== undefined) return sendEncoded(selected, kept)
    if (!isHasty(selected)) return encodeWhole(selected, payload, key, false)
    // Kept apart: once the pressure is gone, its body is worth its full level again.
    const hastyKey = `${key} hasty`
    const hasty = cache.get(hastyKey)
    if (hasty !== undefined) return sendEncoded(selected, hasty)
    encodeWhole(selected, payload, hastyKey, true)
  }

  /** At a lower level, when there is little to spare; a strong tag names one byte sequence, and that of the full level. */
  function isHasty ({ tag }: Selected): boolean {
    return (tag === undefined || isWeak(tag)) && parts.isStrained()
  }

  /** Below `syncThreshold` at once, above it on libuv's threads, shared by all that want the same meanwhile. */
  function encodeWhole (selected: Selected, payload: string | Buffer, key: string | undefined, hasty: boolean): void {
    if (isBelow(payload, options.syncThreshold + 1)) {
      let bytes: Buffer
      try {
        bytes = encoder.encodeSync(selected.coding, payload, hasty)
      } catch (err) {
        return sendUnencoded(selected, err as Error)
      }
      if (key !== undefined) cache!.offer(key, bytes)
      return sendEncoded(selected, bytes)
    }
    if (key !== undefined && cache!.join(key, ended)) return
    if (!budget.take()) return sendPlain(selected)
    if (key === undefined) start(ended)
    else cache!.share(key, ended, start)

    function start (settle: (error: Error | null, bytes: Buffer | undefined) => void): void {
      encoder.encode(selected.coding, payload, hasty, (error, bytes) => {
        budget.give()
        settle(error, bytes)
      })
    }

    function ended (error: Error | null, bytes: Buffer | undefined): void {
      const { reply } = selected
      // A deadline may have answered in the meantime.
      if (reply.sent || reply.raw.headersSent) return
      try {
        if (bytes !== undefined) sendEncoded(selected, bytes)
        else sendUnencoded(selected, error)
      } catch (err) {
        // A field that Node refuses: nobody catches it here, where Fastify does it makes a 500 of it.
        reply.send(err)
      }
    }
  }

  function encodeStream (selected: Selected): void {
    const { request, reply, payload, coding, tag, done } = selected
    if (request.method === 'HEAD') {
      shape(reply, tag)
      withdrawRanges(selected)
      reply.header('content-encoding', coding)
      if (options.removeContentLengthHeader) reply.removeHeader('content-length')
      discard(payload)
      return done(null, null)
    }
    const hasty = isHasty(selected)
    if (!budget.take()) return sendPlain(selected)
    const vary = reply.getHeader('vary')
    shape(reply, tag)
    withdrawRanges(selected)
    const stream = isWhole(payload) ? Readable.from([Buffer.from(payload as string)]) : payload
    official.encode(coding, hasty, reply, stream, budget, (error, encoded) => {
      // It looks for the name in lower case only, and would list it twice.
      reply.header('vary', vary)
      done(error, encoded)
    })
  }

  function sendEncoded (selected: Selected, bytes: Buffer): void {
    const { request, reply, payload, fields, coding, tag, done } = selected
    const plainBytes = Buffer.byteLength(payload as string | Buffer)
    if (request.method !== 'HEAD') savings.encoded(plainBytes, bytes.length)
    shape(reply, tag)
    withdrawRanges(selected)
    reply.header('content-encoding', coding)
    if (fields['content-length'] !== undefined) reply.header('content-length', String(bytes.length))
    sent(selected, bytes, plainBytes)
    finish(request, reply, bytes, done)
  }

  function sendUnencoded (selected: Selected, err: Error | null): void {
    selected.request.log.error({ err }, 'the reply could not be encoded and goes out plain')
    sendPlain(selected)
  }

  /** Past the cap, or where encoding failed: plain for this once. */
  function sendPlain ({ request, reply, payload, plain, done }: Selected): void {
    if (plain !== undefined) shape(reply, plain)
    finish(request, reply, payload, done)
  }

  return encodeReply
}

/** The app's ranges are of plain bytes, and of no use to a client that holds encoded ones (RFC 9110 section 14.3). */
function withdrawRanges ({ reply, fields }: Selected): void {
  if (fields['accept-ranges'] !== undefined) reply.removeHeader('accept-ranges')
}
