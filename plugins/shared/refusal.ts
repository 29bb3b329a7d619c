// A refusal is a reply prepared at boot and sent as it is: nothing is thrown, serialised or logged
// a line each, because past the limit the cost of saying no decides the goodput.
import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Batch } from './batch.ts'
import { streamOf } from './http2.ts'
import { hasNoHeaders, mayHaveTrailers, onSendHooksOf } from './fastify-internals.ts'
import { isPromise } from './promise.ts'
import { watchSend } from './watch-send.ts'

const JSON_TYPE = 'application/json; charset=utf-8'

/** Why and how a request is refused; what `onRefused` is handed. */
export interface Refusal {
  /** The plugin that refuses: 'concurrency', 'rate-limit', … */
  readonly by: string
  /** A short, stable word for logs and metrics: 'queue_full', 'rate_limited', … */
  readonly reason: string
  /** Stable error code, `FST_SURGE_…`. */
  readonly code: string
  readonly statusCode: number
  readonly message: string
  /** Seconds for `Retry-After`, before jitter; undefined sends none (a handler may have begun: not safe to retry) or one that is known by request only. */
  readonly retryAfter: number | undefined
  /** The default body, serialised once. */
  readonly body: string
  /** @default 'application/json; charset=utf-8' */
  readonly contentType?: string
  /** What problem details say in place of, and beside, their common members. */
  readonly problem?: Readonly<Record<string, unknown>>
}

/**
 * Shapes the body of a refusal: what it returns is sent instead of the default body; `undefined` keeps the default. A promise is
 * waited for. What it throws is logged, and the default body is sent. It may set headers, and answer by itself as well, before it
 * returns: behind a deadline, the reply is nobody's after that. Status, `Cache-Control` and `Retry-After` are on the reply already:
 * `reply.getHeader('retry-after')` is what will be sent, in seconds.
 */
export type OnRefused = (request: FastifyRequest, reply: FastifyReply, refusal: Refusal) => unknown

interface CodedError { code: string, statusCode?: number, message: string }

/** Prepares the reply for an error class of errors.ts; `wording` replaces its message. */
export function prepareRefusal (by: string, reason: string, CodedError: new () => CodedError, retryAfter?: number, wording?: string): Refusal {
  const error = new CodedError()
  const { code, statusCode = 503 } = error
  const message = wording ?? error.message
  const body = JSON.stringify({ statusCode, code, error: STATUS_CODES[statusCode], message })
  return { by, reason, code, statusCode, message, retryAfter, body }
}

/**
 * Integer seconds, never below `atLeast` and spread over half as much again (10 s at most) and one second more: a
 * constant would send everybody who was refused together back together.
 */
export function jitteredRetryAfter (atLeast: number, random: () => number = Math.random): number {
  const base = Math.max(1, Math.ceil(atLeast))
  return base + Math.floor(random() * (Math.min(10, Math.ceil(base / 2)) + 2))
}

const kLeavesRefusals = Symbol('fastify-surge.leaves-refusals')

/**
 * Marks an onSend hook of the suite that has nothing to add to a refusal. It must not use `this`: Fastify binds each hook to
 * its context, and what is bound is another function, without the mark.
 */
export function leavesRefusals<Hook extends object> (hook: Hook): Hook {
  return Object.assign(hook, { [kLeavesRefusals]: true, bind: () => hook })
}

/** No hook of the app's would see the reply, so it need not pass Fastify: a tenth of what a request costs. */
function isUnseen (request: FastifyRequest, reply: FastifyReply): boolean {
  // Of HEAD, and of a stream of HTTP/2, Fastify knows what to leave out.
  if (streamOf(request.raw) !== undefined || request.raw.method === 'HEAD' || mayHaveTrailers(reply)) return false
  const hooks = onSendHooksOf(request)
  if (hooks === undefined) return false
  for (const hook of hooks) if ((hook as any)[kLeavesRefusals] !== true) return false
  return true
}

interface Unwritten { reply: FastifyReply, refusal: Refusal, retryAfter: number | undefined }

/** Of a flood, since one that is written between the intake of two requests costs half as much again. */
const unwritten = new Batch<Unwritten>(({ reply, refusal, retryAfter }) => {
  // Its client may have left since, or another hook answered.
  if (reply.sent || reply.raw.headersSent || reply.request.raw.socket?.destroyed === true) return
  try {
    writeRefusal(reply, refusal, retryAfter)
  } catch (err) {
    reply.log.error({ err }, 'a refusal could not be written')
    reply.request.raw.destroy()
  }
})

/** Writes the refusals that have waited for a while: to be called before the app runs, which may take long. */
export function writeLateRefusals (now: number): void {
  unwritten.catchUp(now)
}

/**
 * Sends the refusal, at once or with others of this iteration. The reply passes the user's onSend hooks, not their error handler. `retryAfter` is this
 * request's own wait, in seconds; `now` is undefined where the app may write to the reply as well, so that it has to be at once.
 */
export function sendRefusal (request: FastifyRequest, reply: FastifyReply, refusal: Refusal, onRefused: OnRefused | undefined, now: number | undefined, retryAfter: number | undefined): void {
  if (onRefused === undefined && isUnseen(request, reply)) {
    if (now === undefined) writeRefusal(reply, refusal, retryAfter)
    else unwritten.add({ reply, refusal, retryAfter }, now)
    return
  }
  reply.code(refusal.statusCode)
  reply.header('cache-control', 'no-store')
  if (retryAfter !== undefined) reply.header('retry-after', jitteredRetryAfter(retryAfter))
  if (onRefused === undefined) sendBody(reply, reply.send, refusal, retryAfter, undefined)
  else shape(request, reply, refusal, onRefused, retryAfter)
}

function shape (request: FastifyRequest, reply: FastifyReply, refusal: Refusal, onRefused: OnRefused, retryAfter: number | undefined): void {
  // A deadline takes it away from the handler, and so from here.
  const { send } = reply
  const isSent = watchSend(reply)

  function shaped (body?: unknown): void {
    if (body !== reply && !isSent()) sendBody(reply, send, refusal, retryAfter, body)
  }

  function failed (err: unknown): void {
    request.log.error({ err }, 'onRefused failed; the default body is sent')
    shaped()
  }

  let body: unknown
  try {
    body = onRefused(request, reply, refusal)
  } catch (err) {
    failed(err)
    return
  }
  if (body !== reply && isPromise(body)) body.then(shaped, failed)
  else shaped(body)
}

/** Nothing is thrown: it may come from a timer, where nobody would catch it. */
function sendBody (reply: FastifyReply, send: FastifyReply['send'], refusal: Refusal, retryAfter: number | undefined, body: unknown): void {
  try {
    if (body === undefined) reply.header('content-type', refusal.contentType ?? JSON_TYPE)
    send.call(reply, body === undefined ? refusal.body : body)
  } catch (err) {
    reply.log.error({ err }, 'a refusal could not be sent as it was')
    if (!reply.raw.headersSent) writeRefusal(reply, refusal, retryAfter)
  }
}

/** The same reply, with what earlier hooks have set, past Fastify; without that where Node refuses it, such as a character that no header may have. */
export function writeRefusal (reply: FastifyReply, { statusCode, contentType = JSON_TYPE, body }: Refusal, retryAfter: number | undefined): void {
  const own: Record<string, string> = { 'cache-control': 'no-store', 'content-type': contentType, 'content-length': String(Buffer.byteLength(body)) }
  if (retryAfter !== undefined) own['retry-after'] = String(jitteredRetryAfter(retryAfter))
  const { raw } = reply
  try {
    raw.writeHead(statusCode, hasNoHeaders(reply) ? own : { ...reply.getHeaders() as Record<string, string>, ...own })
  } catch (err) {
    reply.log.error({ err }, 'a refusal is sent without the headers that the app has set')
    for (const name of raw.getHeaderNames()) raw.removeHeader(name)
    raw.writeHead(statusCode, own)
  }
  raw.end(reply.request.method === 'HEAD' ? undefined : body)
}

function problemDetails ({ statusCode, message, code, problem }: Refusal): string {
  return JSON.stringify({ type: 'about:blank', title: STATUS_CODES[statusCode], status: statusCode, detail: message, code, ...problem })
}

/** The same refusal, with RFC 9457 problem details for its default body. */
export function asProblem (refusal: Refusal): Refusal {
  return { ...refusal, body: problemDetails(refusal), contentType: 'application/problem+json' }
}

/** A ready-made `onRefused`: RFC 9457 problem details. */
export function problemJson (_request: FastifyRequest, reply: FastifyReply, refusal: Refusal): string {
  reply.header('content-type', 'application/problem+json')
  return problemDetails(refusal)
}
