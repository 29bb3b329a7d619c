// Ends of a reply that its own 'close' does not tell of, or does not bring about, and whether the end was a whole one.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'

interface Closes { close: () => void }

const kPipelined = Symbol('fastify-surge.pipelined')
interface Watched extends Socket { [kPipelined]?: Set<Closes> }

/** For a reply that stands behind another one on its connection: on Node 20 and 22 it has no 'close' when the client leaves. */
export function watchPipelined (socket: Watched, reply: Closes): void {
  if (socket[kPipelined] === undefined) {
    socket[kPipelined] = new Set()
    socket.once('close', closedSocket)
  }
  socket[kPipelined].add(reply)
}

export function unwatchPipelined (socket: Watched | null, reply: Closes): void {
  socket?.[kPipelined]?.delete(reply)
}

function closedSocket (this: Watched): void {
  for (const reply of [...this[kPipelined]!]) reply.close()
}

/**
 * For a reply whose client left before it began: Node refuses what is written to it by hand before it comes to the head, so its
 * first write is heard of here, and a hijack, which in time would have had it end with its client.
 */
export function watchBelated (reply: FastifyReply, begun: () => void): void {
  const { raw } = reply
  for (const [object, name] of [[raw, 'write'], [raw, 'end'], [reply, 'hijack']] as Array<[any, string]>) {
    const method = object[name]
    object[name] = function belated (...args: unknown[]) {
      begun()
      return method.apply(object, args)
    }
  }
}

/**
 * An upgrade that is answered with a reply instead, because it was refused: Node has let go of the connection, so no
 * timeout of the server would ever end it.
 */
export function endWithReply (res: ServerResponse): void {
  res.shouldKeepAlive = false
  res.once('finish', function endUpgrade () {
    res.socket?.destroySoon()
  })
}

/**
 * For a stream of HTTP/2: Node keeps one that its client has reset with NO_ERROR while something of the reply was to be written
 * still, and neither it nor its session ever closes (Node 26 does not). It is ended as soon as the protocol has forgotten it.
 */
export function endWithStream (stream: ServerHttp2Stream): void {
  stream.setTimeout = watchedSetTimeout
}

/** One for all streams. It is what Node calls when a stream is closed, from whichever side; no event tells of it. */
function watchedSetTimeout (this: ServerHttp2Stream, ms: number, callback?: () => void): any {
  if (ms === 0 && this.closed) setImmediate(endForgotten, this)
  return Object.getPrototypeOf(this).setTimeout.call(this, ms, callback)
}

function endForgotten (stream: ServerHttp2Stream): void {
  // Closed by the server itself, it lives on until its reply is out; and behind its reply, until the rest of its body is read.
  if (!stream.destroyed && !stream.writableFinished && stream.state.state === constants.NGHTTP2_STREAM_STATE_IDLE) stream.destroy()
}

/**
 * True when the reply is whole, false when its client left before. Node's own properties say so only of HTTP/1 over a socket:
 * of HTTP/2 `writableFinished` is true after a reset too, and of inject() it never is.
 */
export function isComplete (reply: ServerResponse | Http2ServerResponse): boolean {
  if ('stream' in reply) return reply.writableEnded && reply.stream?.rstCode === 0
  return reply.writableFinished || (reply.writableEnded && isInjected(reply))
}

/** Ends the HTTP/1 connection of a request once all that was written to it is out. */
export function endConnection (req: IncomingMessage): void {
  // What inject() has for a socket cannot.
  if ('destroySoon' in req.socket) req.socket.destroySoon()
  else req.destroy()
}

/** Whether it answers inject(), over no socket. */
export function isInjected (reply: ServerResponse | Http2ServerResponse): boolean {
  return 'isLightMyRequest' in reply
}
