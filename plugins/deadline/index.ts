// Gives every request a deadline and a signal that hold, for one with a body too: Fastify's handlerTimeout and
// request.signal are disarmed as soon as a body is read (fastify#6725, #7033). It prevents handlers that never end
// from holding clients and slots for ever.
import type { IncomingMessage } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { FastifyRequest } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { Clash, DeadlineExceeded } from '../shared/errors.ts'
import { forgoHandler, readsBody } from '../shared/fastify-internals.ts'
import { streamOf } from '../shared/http2.ts'
import { prepareRefusal } from '../shared/refusal.ts'
import { isComplete, isInjected } from '../shared/reply-ends.ts'
import { ticketOf, type Ticket } from '../shared/ticket.ts'
import { Deadline } from './deadline.ts'
import { Deadlines } from './deadlines.ts'
import { discard, silence } from './late-reply.ts'
import { readDeadline, readRoute, shortened, type DeadlineOptions, type DeadlineSettings } from './options.ts'

export type { DeadlineOptions }

export interface RequestDeadline {
  /** Aborts when the deadline is over, or the client leaves before its reply is out. */
  readonly signal: AbortSignal
  /** Milliseconds left; Infinity where the route has no deadline. */
  remaining: () => number
}

export interface DeadlineStats {
  /** Requests that run against a deadline now. */
  running: number
  /** Requests that were answered in their handler's place, since boot. */
  exceeded: number
  /** Of those, the handlers that answered after all, since boot; theirs were dropped. */
  late: number
}

declare module 'fastify' {
  interface FastifyInstance {
    deadline: { stats: () => DeadlineStats }
  }
  interface FastifyRequest {
    deadline: RequestDeadline
  }
  interface FastifyContextConfig {
    /** Milliseconds from arrival to the reply's first byte, or false for none. */
    deadline?: number | false
  }
}

/** No Retry-After once a hook or handler has begun: whether the request is safe to send again is not ours to say then. */
const refusal = prepareRefusal('deadline', 'deadline', DeadlineExceeded)

/** Milliseconds that the app's onSend hooks have for the answer in the handler's place. */
const GRACE_MS = 500

interface Core {
  deadlines: Deadlines
  counts: { exceeded: number, late: number }
}

class TicketDeadline extends Deadline {
  readonly #ticket: Ticket
  /** Where it counts, unless it only looks on. */
  readonly #counts: Core['counts'] | undefined
  watched = false
  exceeded = false
  /** A body is coming in, and will be read. */
  readonly hasBody: boolean
  /** Bytes of it, where its connection carries others as well. */
  received = 0
  #before = 0

  constructor (ticket: Ticket, timeout: number, counts?: Core['counts']) {
    super(timeout, ticket.arrival, systemClock, isInjected(ticket.reply.raw))
    this.#ticket = ticket
    this.#counts = counts
    this.hasBody = hasBody(ticket.request.raw) && !ticket.request.raw.complete && readsBody(ticket.request)
  }

  /** In the waiting room nobody reads the body, whose coming in is no excuse for the time there. */
  override remaining (now?: number): number {
    return this.hasBody ? Math.max(0, super.remaining(now) - this.#ticket.waited) : super.remaining(now)
  }

  override expired (): void {
    this.watched = false
    const ticket = this.#ticket
    // A head that the ticket has not seen is that of an answer to the stream itself, such as the 408 for a slow body.
    if (ticket.headWritten || ticket.closed || ticket.reply.sent || ticket.reply.raw.headersSent) return
    if (this.#counts === undefined) {
      if (!ticket.refused) ticket.refuse(refusal, true)
      return
    }
    // By another stage, and an onSend hook of the app's holds that up.
    if (ticket.refused) {
      makeInert(ticket)()
      return
    }
    this.abort(new DeadlineExceeded())
    // A listener of the signal may have answered just now.
    if (ticket.headWritten || ticket.reply.sent) return
    this.exceeded = true
    this.#counts.exceeded++
    if (ticket.started) dropRepresentation(ticket)
    ticket.refuse(refusal, false, ticket.started ? undefined : 1)
    // At once: a handler that heeds the signal fails in this very tick, when an onSend hook may still be at work.
    const answerHeldUp = makeInert(ticket)
    if (ticket.headWritten) return
    const grace = systemClock.setTimeout(answerHeldUp, GRACE_MS)
    if (this.alone) systemClock.hold(grace, true)
  }

  override moved (): boolean {
    const { raw } = this.#ticket.request
    if (raw.complete) return false
    const before = this.#before
    this.#before = streamOf(raw) !== undefined ? this.received : raw.socket?.bytesRead ?? 0
    return this.#before > before
  }
}

function deadlineStage ({ deadlines, counts }: Core, options: DeadlineSettings, dryRun: boolean): Stage<{ timeout: number }> {
  const { header } = options

  function bodyEnded (this: IncomingMessage): void {
    const deadline = ticketOf(this)!.deadline as TicketDeadline
    deadline.run()
    if (deadline.watched) deadlines.resumed(deadline)
  }

  function stop (ticket: Ticket): void {
    const deadline = ticket.deadline as TicketDeadline | undefined
    if (!deadline?.watched) return
    deadline.watched = false
    deadlines.stop(deadline)
  }

  return {
    name: 'deadline',
    configKey: 'deadline',

    check (setting, route) {
      if (setting !== undefined) readRoute(setting, `config.deadline of ${route.key}`)
    },

    configure (setting) {
      const timeout = (setting ?? options.timeout) as number | false
      return timeout === false ? undefined : { timeout }
    },

    enter (ticket, { timeout }) {
      const { raw } = ticket.request
      const time = header === false ? timeout : shortened(timeout, raw.headers[header])
      const deadline = new TicketDeadline(ticket, time, dryRun ? undefined : counts)
      ticket.deadline = deadline
      const now = ticket.moment
      // A gate behind refuses who could only wait past it, and that one may be no dry run.
      if (!dryRun) ticket.remaining = deadline.remaining(now)
      deadline.watched = true
      if (deadline.hasBody) {
        deadline.stand()
        raw.on('end', bodyEnded)
        const stream = streamOf(raw)
        if (stream !== undefined) countBody(stream, deadline)
      }
      deadlines.start(deadline, now)
      return true
    },

    answered (ticket) {
      if ((ticket.deadline as TicketDeadline | undefined)?.exceeded) counts.late++
    },

    head (ticket) {
      stop(ticket)
    },

    close (ticket) {
      stop(ticket)
      const deadline = ticket.deadline as TicketDeadline | undefined
      if (ticket.refused && ticket.started) endBody(ticket.request.raw)
      if (deadline !== undefined && !isComplete(ticket.reply.raw)) deadline.abort(new Error('The client closed the connection'))
    }
  }
}

function hasBody (raw: IncomingMessage): boolean {
  // Bodies of HTTP/2 need no header.
  const stream = streamOf(raw)
  if (stream !== undefined) return !stream.endAfterHeaders
  return raw.headers['content-length'] !== undefined ? raw.headers['content-length'] !== '0' : raw.headers['transfer-encoding'] !== undefined
}

/** The session's bytes are those of all its streams. */
function countBody (stream: ServerHttp2Stream, deadline: TicketDeadline): void {
  const { push } = stream
  stream.push = function countedPush (chunk: Buffer | null, encoding?: BufferEncoding) {
    if (chunk !== null) deadline.received += chunk.length
    return push.call(stream, chunk, encoding)
  }
}

/**
 * Node forgets a request when its reply is out, and does not tell it that its connection has closed: a handler that
 * still reads the body would wait for ever, and its slot with it.
 */
function endBody (raw: IncomingMessage): void {
  if (raw.complete || raw.destroyed || streamOf(raw) !== undefined) return
  const { socket } = raw
  const abort = (): void => { raw.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' })) }
  socket.once('close', abort)
  raw.once('close', () => socket.off('close', abort))
}

/** Of the reply that the handler had in mind; the answer in its place has none of it. */
const REPRESENTATION = ['accept-ranges', 'content-disposition', 'content-encoding', 'content-language', 'content-length', 'content-range', 'etag', 'expires', 'last-modified']

function dropRepresentation ({ reply }: Ticket): void {
  for (const name of REPRESENTATION) {
    reply.removeHeader(name)
    reply.raw.removeHeader(name)
  }
}

/**
 * The handler may answer after the deadline did. Its reply is dropped, and seen, because its slot belongs to it until
 * then; Fastify would only log an error, and swallow a rejection without calling anybody. One that has not begun, behind
 * a hook that hung, does not begin any more. Returned is what sends the answer past onSend hooks of the app's that hold it up.
 */
function makeInert (ticket: Ticket): () => void {
  const { request, reply } = ticket
  let heldUp = false

  function settle (): void {
    // In the waiting room it had no handler yet.
    if (ticket.started) ticket.settle()
  }

  function answerAtOnce (): void {
    // Some of it may be what hooks have begun to do to the answer.
    dropRepresentation(ticket)
    ticket.refuseAtOnce()
  }

  forgoHandler(request, settle, function answerFailed (err) {
    // Behind its first byte that is what the late reply met.
    if (ticket.headWritten) {
      settle()
      return
    }
    request.log.error({ err }, 'a hook failed on a refusal, which goes out without it')
    answerAtOnce()
  })
  ticket.followWork()
  reply.send = function dropLateReply (payload?: unknown) {
    discard(payload)
    settle()
    return reply
  }
  Object.defineProperty(reply, 'sent', { get: () => ticket.settled && ticket.headWritten })
  silence(reply.raw, function ended () {
    // That was the end of the answer that had been held up.
    if (heldUp) heldUp = false
    else settle()
  })

  return function answerHeldUp () {
    if (ticket.headWritten) return
    heldUp = true
    answerAtOnce()
  }
}

export default definePlugin<DeadlineOptions, DeadlineSettings, Core>({
  name: 'deadline',
  key: 'deadline',
  read: readDeadline,
  perServer: false,
  decorates: ['deadline'],

  create: () => ({ deadlines: new Deadlines(systemClock), counts: { exceeded: 0, late: 0 } }),

  attach (app, core, options, suite) {
    if (app.hasRequestDecorator('deadline')) {
      throw new Clash('fastify-surge/deadline adds `request.deadline`, which exists already: remove the plugin that decorates it, or pass `deadline: false` to fastify-surge.')
    }
    app.decorate('deadline', { stats: () => ({ running: core.deadlines.size, ...core.counts }) })
    app.decorateRequest('deadline', {
      getter (this: FastifyRequest): RequestDeadline {
        const ticket = ticketOf(this.raw)
        // In a hook ahead of the suite.
        if (ticket === undefined) return { signal: new AbortController().signal, remaining: () => Infinity }
        ticket.deadline ??= new TicketDeadline(ticket, Infinity)
        return ticket.deadline as TicketDeadline
      }
    } as any)
    admissionOf(app).add(deadlineStage(core, options, options.dryRun ?? suite.dryRun))
  }
})
