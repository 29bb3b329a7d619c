// The marks on a reply and the ways in which it ends without its payload: not modified, or refused. They prevent an
// error from going out under the tag and the coding of the payload that it replaces.
import type { FastifyReply } from 'fastify'
import { varyByEncoding } from './eligibility.ts'
import { discard } from './payload.ts'

export type Done = (error?: Error | null, payload?: unknown) => void

const kCompress = Symbol('fastify-surge.compress')
const kShaped = Symbol('fastify-surge.shaped')

interface Marked { [kCompress]?: true, [kShaped]?: true }

/** `reply.compress()` was called. */
export function markCompressed (reply: FastifyReply): void {
  (reply as Marked)[kCompress] = true
}

export function isCompressed (reply: FastifyReply): boolean {
  return (reply as Marked)[kCompress] === true
}

export function isShaped (reply: FastifyReply): boolean {
  return (reply as Marked)[kShaped] === true
}

/** Gives the reply its tag, and remembers that its headers are ours. */
export function shape (reply: FastifyReply, tag: string | undefined): void {
  (reply as Marked)[kShaped] = true
  if (tag !== undefined) reply.header('etag', tag)
}

/** Fastify came a second time: the first payload failed, an error takes its place, and neither tag nor coding are the error's. */
export function unshape (reply: FastifyReply): void {
  (reply as Marked)[kShaped] = undefined
  reply.removeHeader('etag')
  reply.removeHeader('content-encoding')
}

/** RFC 9110 section 15.4.5: the fields that guide caches stay, those that describe a body go. */
export function sendNotModified (reply: FastifyReply, payload: unknown, negotiable: boolean, tag: string | undefined, done: Done): void {
  discard(payload)
  reply.code(304)
  if (tag !== undefined) reply.header('etag', tag)
  if (negotiable) reply.header('vary', varyByEncoding(reply.getHeader('vary')))
  reply.removeHeader('content-type')
  reply.removeHeader('content-length')
  reply.removeHeader('content-encoding')
  reply.removeHeader('content-range')
  done(null, null)
}

/** The fields that describe a payload, or let it be cached. */
const OF_THE_PAYLOAD = ['etag', 'last-modified', 'cache-control', 'content-encoding', 'content-range', 'content-digest', 'repr-digest', 'digest', 'content-md5']

/** The app's error handler makes the reply; what described the payload must not describe that. */
export function refuse (reply: FastifyReply, payload: unknown, error: Error, done: Done): void {
  discard(payload)
  for (const field of OF_THE_PAYLOAD) reply.removeHeader(field)
  done(error)
}
