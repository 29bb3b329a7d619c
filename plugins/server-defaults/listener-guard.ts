// Puts one listener under the limits: every connection under the sweep, and every request past a look at its head and its
// place in the pipeline before Fastify sees it.
import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { constants, type Http2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Clock } from '../shared/clock.ts'
import { DuplicateHost, HandshakeTimeout, IdleConnection, PipelineFull, SlowBody, StreamResets, TooManyConnections, TooManyHeaders, WriteStalled } from '../shared/errors.ts'
import { streamOf } from '../shared/http2.ts'
import { jitteredRetryAfter, prepareRefusal, type Refusal } from '../shared/refusal.ts'
import type { RefusalLog } from '../shared/telemetry.ts'
import { closeAfter, dropFurtherRequests } from '../shared/unread-body.ts'
import { watchSockets } from '../shared/watch-sockets.ts'
import { AddressShares, addressBlock, type Share } from './address-shares.ts'
import type { ConnectionLimits, Cut } from './connection.ts'
import { holdContinue } from './expectation.ts'
import type { ServerDefaults } from './options.ts'
import { pipelineVerdict } from './pipeline.ts'
import { DUPLICATE_HOST, HAS_BODY, inspectHead, TOO_MANY_FIELDS } from './request-head.ts'
import { Session } from './session.ts'
import { Sweep } from './sweep.ts'
import { addressOf, Http2SessionWire, Http2StreamWire, SocketConnection, type Place } from './wires.ts'

const by = 'server-defaults'
const refusals = {
  handshake: prepareRefusal(by, 'handshake', HandshakeTimeout),
  idle: prepareRefusal(by, 'idle', IdleConnection),
  slow_body: prepareRefusal(by, 'slow_body', SlowBody),
  write_stall: prepareRefusal(by, 'write_stall', WriteStalled),
  stream_resets: prepareRefusal(by, 'stream_resets', StreamResets),
  connections_per_ip: prepareRefusal(by, 'connections_per_ip', TooManyConnections),
  pipeline_full: prepareRefusal(by, 'pipeline_full', PipelineFull, 1),
  too_many_headers: prepareRefusal(by, 'too_many_headers', TooManyHeaders),
  duplicate_host: prepareRefusal(by, 'duplicate_host', DuplicateHost)
}

type Handler = (req: IncomingMessage, res: ServerResponse) => void

interface WatchedSession { session: Session, wire: Http2SessionWire }

const kWatched = Symbol('fastify-surge.watched')
type WatchedSocket = Socket & { [kWatched]?: SocketConnection, _parent?: WatchedSocket }

export class ListenerGuard {
  readonly #limits: ServerDefaults & ConnectionLimits
  readonly #clock: Clock
  readonly #log: RefusalLog
  readonly #dryRun: boolean
  readonly #sweep: Sweep
  readonly #shares: AddressShares | undefined
  readonly #sessions = new WeakMap<Http2Session, WatchedSession>()

  constructor (limits: ServerDefaults & { idleTimeout: number }, clock: Clock, log: RefusalLog, dryRun: boolean) {
    this.#limits = { ...limits, handshakeTimeout: limits.headersTimeout }
    this.#clock = clock
    this.#log = log
    this.#dryRun = dryRun
    this.#sweep = new Sweep(limits.checkInterval, clock)
    if (limits.maxConnectionsPerIp !== undefined) this.#shares = new AddressShares(limits.maxConnectionsPerIp)
  }

  /** To be called once a listener, behind its own handlers. */
  watch (listener: Server): void {
    const place: Place = { listener, limits: this.#limits, onCut: this.#onCut }
    watchSockets(listener, 'connection', socket => this.#connected(place, socket), this.#disconnected)
    if ('setSecureContext' in listener) listener.on('secureConnection', this.#secured)
    if ('updateSettings' in listener) {
      listener.on('session', this.#session)
      listener.prependListener('stream', this.#stream)
    }
    listener.on('checkContinue', (req, res) => this.#expected(listener, req, res))
    this.#guardRequests(listener)
    this.#guardUpgrades(listener)
  }

  /** Counts and logs; false in a dry run. */
  #refuses (refusal: Refusal): boolean {
    this.#log.record(refusal, '*', this.#dryRun)
    return !this.#dryRun
  }

  readonly #onCut = (why: Cut | 'stream_resets'): boolean => this.#refuses(refusals[why])

  #connected (place: Place, socket: WatchedSocket): void {
    let share: Share | undefined
    const address = this.#shares && addressOf(socket)
    if (address !== undefined) {
      share = this.#shares!.take(addressBlock(address))
      if (share === undefined && this.#refuses(refusals.connections_per_ip)) {
        socket.destroy()
        return
      }
    }
    const connection = socket[kWatched] = new SocketConnection(place, socket, share, this.#clock.now())
    this.#sweep.add(connection)
  }

  readonly #disconnected = (socket: WatchedSocket): void => {
    const connection = socket[kWatched]
    // One that was refused.
    if (connection === undefined) return
    this.#sweep.delete(connection)
    if (connection.share !== undefined) this.#shares!.give(connection.share)
  }

  readonly #secured = (socket: WatchedSocket): void => {
    const connection = socket._parent?.[kWatched]
    if (connection === undefined) return
    socket[kWatched] = connection
    connection.secured(socket)
  }

  readonly #session = (http2Session: Http2Session): void => {
    const wire = new Http2SessionWire(http2Session, this.#onCut)
    const session = new Session(wire, { ...this.#limits, ...this.#limits.http2 }, this.#clock.now())
    this.#sessions.set(http2Session, { session, wire })
    this.#sweep.add(session)
    http2Session.once('close', () => this.#sweep.delete(session))
  }

  readonly #stream = (stream: ServerHttp2Stream, _headers: unknown, flags: number): void => {
    const session = stream.session && this.#sessions.get(stream.session)?.session
    if (session === undefined) return
    const wire = new Http2StreamWire(stream, (flags & END_STREAM) === 0)
    session.open(wire, this.#clock.now())
    // 'aborted' says nothing of a stream that is reset in the read that opened it.
    stream.once('close', () => {
      session.closed(wire, this.#clock.now())
      // A client may call its reset NO_ERROR.
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !stream.writableFinished) session.reset(this.#clock.now())
    })
  }

  /** Takes the place of the listener's own handlers, because an event cannot be kept from those behind. */
  #guardRequests (listener: Server): void {
    const handlers = listener.listeners('request') as Handler[]
    listener.removeAllListeners('request')
    const guard = this
    listener.on('request', function surgeGuard (req, res) {
      if (!guard.#passes(req, res)) return
      for (const handler of handlers) handler.call(listener, req, res)
    })
  }

  /** Whoever handles upgrades comes later, and Node asks whether anybody does: so the event itself is looked at. */
  #guardUpgrades (listener: Server): void {
    const { emit } = listener
    const guard = this
    listener.emit = function surgeEmit (this: Server, event: string | symbol, ...args: any[]) {
      if (event === 'upgrade' && !guard.#passesUpgrade(args[0], args[1])) return true
      return Reflect.apply(emit, this, [event, ...args])
    } as typeof emit
  }

  #passesUpgrade (req: IncomingMessage, socket: Socket & { _httpMessage?: unknown }): boolean {
    // Behind a reply that is not out. Node lets go of the connection, so that reply would wait for ever to be written on, and its slot with it.
    if (socket._httpMessage) {
      socket.destroy()
      return false
    }
    const refusal = refusalOf(this.#inspect(req))
    if (refusal === undefined || !this.#refuses(refusal)) return true
    // Nobody else hears of its errors, and a reset that is not heard ends the process.
    socket.on('error', noop)
    socket.end(`HTTP/1.1 ${refusal.statusCode} ${STATUS_CODES[refusal.statusCode]}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: ${Buffer.byteLength(refusal.body)}\r\n\r\n${refusal.body}`)
    socket.destroySoon()
    return false
  }

  #passes (req: IncomingMessage, res: ServerResponse): boolean {
    const stream = streamOf(req)
    if (stream === undefined) {
      const connection = (req.socket as WatchedSocket)[kWatched]
      if (connection !== undefined) connection.asked = true
      const { maxPipelined } = this.#limits
      const verdict = maxPipelined === false ? 'admitted' : pipelineVerdict(req, res, maxPipelined)
      if (verdict === 'refused' && this.#refuses(refusals.pipeline_full)) {
        refuse(req, res, refusals.pipeline_full)
        dropFurtherRequests(req.socket)
        req.socket.pause()
        return false
      }
      if (verdict === 'ignored' && !this.#dryRun) return false
    } else if (this.#isFlooded(stream)) {
      return false
    }
    return this.#passesHead(req, res, stream === undefined)
  }

  #isFlooded ({ session }: ServerHttp2Stream): boolean {
    return session !== undefined && this.#sessions.get(session)?.wire.flooded === true
  }

  #inspect ({ rawHeaders }: IncomingMessage): number {
    const { maxHeaders } = this.#limits
    return inspectHead(rawHeaders, maxHeaders === false ? Infinity : maxHeaders)
  }

  #passesHead (req: IncomingMessage, res: ServerResponse, isHttp1: boolean): boolean {
    const found = this.#inspect(req)
    // Bodies of HTTP/2 are their streams' business; one that waits for 100 Continue is not on its way.
    if (found & HAS_BODY && isHttp1 && !(res as { _expect_continue?: boolean })._expect_continue) process.nextTick(expectBody, req, this.#clock)
    const refusal = refusalOf(found)
    if (refusal === undefined || !this.#refuses(refusal)) return true
    refuse(req, res, refusal)
    return false
  }

  #expected (listener: Server, req: IncomingMessage, res: ServerResponse): void {
    // The app has a mind of its own about it.
    if (listener.listenerCount('checkContinue') > 1) return
    holdContinue(req, res, () => {
      if (streamOf(req) === undefined) expectBody(req, this.#clock)
    })
    listener.emit('request', req, res)
  }
}

function refusalOf (found: number): Refusal | undefined {
  if (found & TOO_MANY_FIELDS) return refusals.too_many_headers
  return found & DUPLICATE_HOST ? refusals.duplicate_host : undefined
}

function noop () {}

/** END_STREAM of RFC 9113 section 6.2. */
const END_STREAM = 0x1

/** Once the read that brought the head is parsed to its end: most bodies came with it. */
function expectBody (req: IncomingMessage, clock: Clock): void {
  const connection = (req.socket as WatchedSocket | null)?.[kWatched]
  if (connection !== undefined && !req.complete && !req.destroyed) connection.expectBody(req, req.readableLength, clock.now())
}

/** Fastify has not seen the request, so there is no reply to shape: the body is ours and the connection ends. */
function refuse (req: IncomingMessage, res: ServerResponse, { statusCode, retryAfter, body }: Refusal): void {
  if (streamOf(req) === undefined) closeAfter(req, res)
  if (retryAfter !== undefined) res.setHeader('retry-after', jitteredRetryAfter(retryAfter))
  res.writeHead(statusCode, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', 'content-length': Buffer.byteLength(body) })
  res.end(req.method === 'HEAD' ? undefined : body)
}
