// What Node knows about a socket, a session and a stream and does not tell in one place, read the way the limits need
// it. Everything internal to Node that they rely on stands in this file; where a version lacks it nothing is judged.
import { constants, type Http2Session, type ServerHttp2Stream } from 'node:http2'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Share } from './address-shares.ts'
import { Connection, type ConnectionLimits, type Cut } from './connection.ts'
import type { SessionWire, StreamWire } from './session.ts'

/** Of a TCP socket; the one below TLS tells of partial writes, TLS itself does not. */
interface Handle { readonly bytesWritten: number, readonly writeQueueSize: number, getpeername?: (out: object) => number }
type Handled = Socket & { _handle?: Handle | null, _parent?: Handled, _httpMessage?: ServerResponse | null, parser?: unknown }

/** Told of each connection that a limit ends; false lets it off. */
export type OnCut = (why: Cut | 'stream_resets') => boolean

function flushed (handle: Handle | null | undefined): number {
  return handle ? handle.bytesWritten - handle.writeQueueSize : 0
}

/** What Node itself writes where nobody handles the error. */
const TIMEOUT_REPLY = 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n'

/** What all connections of one listener have in common. */
export interface Place {
  readonly listener: Server
  readonly limits: ConnectionLimits
  readonly onCut: OnCut
}

export class SocketConnection extends Connection<IncomingMessage> {
  readonly place: Place
  /** Its part of what its address may have. */
  readonly share: Share | undefined
  readonly #tcp: Handled
  /** Speaks HTTP: the TCP socket, or TLS above it once it is there. */
  #socket: Handled

  constructor (place: Place, tcp: Socket, share: Share | undefined, now: number) {
    super(now, 'setSecureContext' in place.listener)
    this.place = place
    this.share = share
    this.#tcp = this.#socket = tcp as Handled
  }

  secured (socket: Socket): void {
    this.#socket = socket as Handled
    this.shaken()
  }

  protected get limits (): ConnectionLimits {
    return this.place.limits
  }

  protected get bytesRead (): number {
    return this.#socket.bytesRead
  }

  protected get flushed (): number {
    return flushed(this.#tcp._handle)
  }

  protected get waiting (): boolean {
    return (this.#tcp._handle?.writeQueueSize ?? 0) > 0
  }

  protected get reading (): boolean {
    return !this.#socket.isPaused()
  }

  protected get upgraded (): boolean {
    return this.#socket.parser === null
  }

  protected get idle (): boolean {
    const { parser, _httpMessage } = this.#socket
    // HTTP/2 has no parser on its socket, and its sessions have limits of their own.
    return parser !== undefined && (_httpMessage === null || _httpMessage === undefined)
  }

  protected cut (why: Cut, request: IncomingMessage | undefined): void {
    if (!this.place.onCut(why)) return
    if (why === 'slow_body') this.#refuseBody(request)
    else this.#tcp.destroy()
  }

  /** As Node ends a slow header, so that the app's clientErrorHandler words the 408; none into the middle of a reply. */
  #refuseBody (request: IncomingMessage | undefined): void {
    const socket = this.#socket
    const reply = socket._httpMessage
    if (reply?.req === request && !reply?.headersSent) {
      const timeout = Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
      // Fastify has its handler on the first listener only.
      if (!this.place.listener.emit('clientError', timeout, socket) && socket.writable) socket.write(TIMEOUT_REPLY)
    }
    if (!socket.destroyed) socket.destroy()
  }
}

const peer: { address?: string } = {}

/** Of the client; undefined for a Unix socket. `remoteAddress` would keep what it found for as long as the socket is open. */
export function addressOf (socket: Handled): string | undefined {
  return socket._handle?.getpeername?.(peer) === 0 ? peer.address : socket.remoteAddress
}

const kStream = Symbol('fastify-surge.stream')
type Counted = ServerHttp2Stream & { [kStream]?: Http2StreamWire }

export class Http2StreamWire implements StreamWire {
  bytesRead = 0
  incoming: boolean
  readonly #stream: ServerHttp2Stream

  constructor (stream: ServerHttp2Stream, hasBody: boolean) {
    this.#stream = stream
    this.incoming = hasBody
    if (!hasBody) return
    ;(stream as Counted)[kStream] = this
    stream.push = countedPush
  }

  get reading (): boolean {
    return !this.#stream.isPaused() && this.#stream.readableLength < this.#stream.readableHighWaterMark
  }

  get waiting (): boolean {
    return this.#stream.bufferSize > 0
  }

  /** Node 20 keeps a stream that was reset with NO_ERROR, for a reply that it cannot send any more. */
  get abandoned (): boolean {
    return this.#stream.closed && !this.#stream.writableFinished
  }

  drop (): void {
    this.#stream.destroy()
  }

  refuse (): void {
    const stream = this.#stream
    if (stream.destroyed) return
    const answered = stream.headersSent
    if (!answered) stream.respond({ ':status': 408 }, { endStream: true })
    stream.close(answered ? constants.NGHTTP2_CANCEL : constants.NGHTTP2_NO_ERROR)
  }
}

/** The only place that every body byte of a stream passes; one function for all of them. */
function countedPush (this: Counted, chunk: Buffer | null, encoding?: BufferEncoding): boolean {
  const wire = this[kStream]!
  if (chunk === null) wire.incoming = false
  else wire.bytesRead += chunk.length
  return Duplex.prototype.push.call(this, chunk, encoding)
}

export class Http2SessionWire implements SessionWire {
  readonly #session: Http2Session
  readonly #onCut: OnCut
  /** Its requests get no handler any more. */
  flooded = false

  constructor (session: Http2Session, onCut: OnCut) {
    this.#session = session
    this.#onCut = onCut
  }

  get flushed (): number {
    const socket = this.#session.socket as Handled | undefined
    return flushed((socket?._parent ?? socket)?._handle)
  }

  close (): void {
    const session = this.#session
    // A peer that answers nothing keeps a closed session open.
    if (session.closed) session.destroy()
    else session.close()
  }

  cut (why: 'write_stall' | 'stream_resets'): void {
    if (!this.#onCut(why)) return
    this.flooded = true
    // Not amid the frames of the read that told us.
    setImmediate(() => this.#session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM))
  }
}
