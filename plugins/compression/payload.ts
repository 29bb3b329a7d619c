// What can come to onSend as a payload: whole bodies, Node and web streams, fetch Responses, nothing.
import type { FastifyReply } from 'fastify'

/** A body whose bytes are all there. */
export function isWhole (payload: unknown): payload is string | Buffer {
  return typeof payload === 'string' || Buffer.isBuffer(payload)
}

/** Without counting bytes where the number of characters says it already. */
export function isBelow (payload: string | Buffer, bytes: number): boolean {
  if (typeof payload !== 'string') return payload.length < bytes
  return payload.length < bytes && (payload.length * 3 < bytes || Buffer.byteLength(payload) < bytes)
}

/** A Node stream or a web stream. */
export function isStream (payload: unknown): boolean {
  return typeof payload === 'object' && payload !== null && (typeof (payload as any).pipe === 'function' || typeof (payload as any).getReader === 'function')
}

/** Ends a payload that will not be sent; an abandoned stream would hold its file or connection open. */
export function discard (payload: unknown): void {
  if (!isStream(payload)) return
  const stream = payload as any
  if (typeof stream.getReader === 'function') {
    if (!stream.locked) stream.cancel().catch(noop)
    return
  }
  stream.on('error', noop)
  if (typeof stream.destroy === 'function') stream.destroy()
  else stream.resume?.()
}

/** A fetch Response becomes its status, its fields and its body, as Fastify would make it behind the hooks. */
export function unwrapResponse (reply: FastifyReply, payload: unknown): unknown {
  if (Object.prototype.toString.call(payload) !== '[object Response]') return payload
  const response = payload as Response
  // Fastify has an error of its own for a body that was read already.
  if (response.bodyUsed) return payload
  reply.code(response.status)
  for (const [name, value] of response.headers) reply.header(name, value)
  return response.body
}

function noop () {}
