// Answers with CPU and heap profiles and a list of what is in flight, for whoever may see them. It prevents guessing: the
// function that takes the time, the request that never ends.
import type { AddressInfo } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { BadOption, Clash, ProfilingBusy, ProfilingDenied } from '../shared/errors.ts'
import { listenersOf } from '../shared/fastify-internals.ts'
import { EXEMPT } from '../shared/route.ts'
import type { Ticket } from '../shared/ticket.ts'
import { isLocal, isLoopback } from './local.ts'
import { readProfiling, type Profiling, type ProfilingOptions } from './options.ts'
import { Profiler, type Kind } from './profiler.ts'

export type { ProfilingOptions }

/** Where a request is: held by a stage, sending its body, in its handler, being answered, or left by its client. */
export type RequestPhase = 'admission' | 'body' | 'handler' | 'reply' | 'orphan'

interface Core { tickets: Set<Ticket> }

const MOST_SECONDS = 30
const DEFAULT_SECONDS: Record<Kind, number> = { profile: 10, heap: 5, allocs: 5 }

function createProfiling (app: FastifyInstance, options: Profiling): Core {
  const core: Core = { tickets: new Set() }
  const profiler = new Profiler()
  const guarded = (handler: RouteHandlerMethod) => ({ onRequest: guard(app, options.authorize), handler })
  for (const kind of ['profile', 'heap', 'allocs'] as const) declare(app, options, `/${kind}`, guarded(profileHandler(profiler, kind)))
  declare(app, options, '/inflight', guarded(async (_request, reply) => reply.send(inflight(core.tickets))))
  if (options.heapSnapshot) {
    declare(app, options, '/heapsnapshot', guarded(snapshotHandler(profiler)))
  }
  // close() waits for replies, and a profile may take half a minute.
  app.addHook('preClose', async function surgeStopProfiling () { profiler.stop() })
  app.addHook('onListen', async function surgeProfilingForNobody () {
    if (options.authorize === undefined && !onLoopback(app)) app.log.warn(`fastify-surge/profiling answers 403 at ${options.prefix}: the server is not bound to a loopback address, so \`profiling.authorize\` is required`)
  })
  return core
}

function declare (app: FastifyInstance, { prefix }: Profiling, path: string, route: { onRequest: ReturnType<typeof guard>, handler: RouteHandlerMethod }): void {
  const url = prefix + path
  if (app.hasRoute({ method: 'GET', url: app.prefix + url })) {
    throw new Clash(`The path ${url} is taken and fastify-surge/profiling answers there: remove that route, or pass \`profiling: { prefix: '/another' }\`.`)
  }
  app.route({ method: 'GET', url, exposeHeadRoute: false, logLevel: 'warn', schema: { hide: true } as object, config: { ...EXEMPT } as object, ...route })
}

function onLoopback (app: FastifyInstance): boolean {
  return listenersOf(app).every(listener => {
    const address = listener.address() as AddressInfo | string | null
    return address === null || (typeof address === 'object' && isLoopback(address.address))
  })
}

function guard (app: FastifyInstance, authorize: Profiling['authorize']) {
  return async function surgeAuthorizeProfiling (request: FastifyRequest, reply: FastifyReply): Promise<void> {
    reply.header('cache-control', 'no-store')
    const allowed = authorize === undefined
      ? onLoopback(app) && isLocal(request.raw.socket.remoteAddress, request.raw.headers)
      : await authorize(request)
    if (allowed !== true) throw new ProfilingDenied()
  }
}

function profileHandler (profiler: Profiler, kind: Kind): RouteHandlerMethod {
  return async function surgeProfile (request, reply) {
    const ms = 1_000 * secondsOf(request.query as { seconds?: string }, DEFAULT_SECONDS[kind])
    if (profiler.busy) throw new ProfilingBusy()
    // It left while `authorize` was at work, and will not close again.
    if (reply.raw.destroyed) return reply.hijack()
    const stop = (): void => profiler.stop()
    reply.raw.once('close', stop)
    const bytes = await profiler.take(kind, ms)
    reply.raw.off('close', stop)
    reply.header('content-disposition', `attachment; filename="${kind}.pb.gz"`).type('application/octet-stream')
    return reply.send(bytes)
  }
}

function snapshotHandler (profiler: Profiler): RouteHandlerMethod {
  return async function surgeHeapSnapshot (_request, reply) {
    if (profiler.busy) throw new ProfilingBusy()
    return reply.header('content-disposition', 'attachment; filename="node.heapsnapshot"').type('application/json').send(profiler.snapshot())
  }
}

/** @throws FST_SURGE_BAD_OPTION (400) */
function secondsOf ({ seconds }: { seconds?: string }, fallback: number): number {
  if (seconds === undefined) return fallback
  const value = Number(seconds)
  if (value > 0 && value <= MOST_SECONDS) return value
  throw Object.assign(new BadOption(`Expected \`seconds\` to be a number above 0, ${MOST_SECONDS} at most, got ${JSON.stringify(seconds)}`), { statusCode: 400 })
}

function inflight (tickets: ReadonlySet<Ticket>) {
  const now = systemClock.now()
  const requests = [...tickets].map(ticket => ({
    id: ticket.request.id,
    method: ticket.request.method,
    route: ticket.route.url ?? null,
    age: Math.round(now - ticket.arrival),
    phase: phaseOf(ticket)
  }))
  const resources: Record<string, number> = {}
  for (const type of process.getActiveResourcesInfo()) resources[type] = (resources[type] ?? 0) + 1
  return { requests, resources }
}

function phaseOf (ticket: Ticket): RequestPhase {
  if (ticket.closed) return 'orphan'
  if (ticket.headWritten) return 'reply'
  if (!ticket.started) return 'admission'
  return ticket.request.raw.complete ? 'handler' : 'body'
}

function profilingStage ({ tickets }: Core): Stage<object> {
  return {
    name: 'profiling',
    configure: () => ({}),

    enter (ticket) {
      tickets.add(ticket)
      return true
    },

    answered (ticket) {
      if (ticket.closed) tickets.delete(ticket)
    },

    close (ticket) {
      // Its handler works on for nobody: an orphan, until it has settled.
      if (!ticket.pending) tickets.delete(ticket)
    }
  }
}

export default definePlugin<ProfilingOptions, Profiling, Core>({
  name: 'profiling',
  key: 'profiling',
  read: readProfiling,
  perServer: true,
  create: createProfiling,

  attach (app, core) {
    admissionOf(app).add(profilingStage(core))
  }
})
