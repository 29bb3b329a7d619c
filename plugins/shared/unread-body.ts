// What becomes of a request's body when its reply is an error that did not wait for it. It prevents a client that sends
// 50 MB behind a 503 from having all of it read, and a balancer from losing its connection over a few KB.
//
//   ≤ 64 KB, length known    the connection is kept, and Node reads the rest off it
//   chunked or longer        Connection: close; ≤ 64 KB read until the reply is out, a FIN, and after a second the end
//
//   HTTP/2                   RST_STREAM with NO_ERROR behind the reply (RFC 9113 section 8.1)
//
// The second is for the client: what is destroyed with unread bytes answers with a reset, and the reply may be lost.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { streamOf } from './http2.ts'

/** A body up to this size that stays unread does not end its connection: closing each would churn a balancer's pool. */
const UNREAD_BODY_KEPT_BYTES = 64 * 1024
/** Milliseconds that a connection is kept open behind its last reply, for its client to read it. */
const LINGER_MS = 1_000

/** True when answering now leaves so much of the request's body unread that the connection has to end with the reply. */
export function leavesTooMuchUnread (req: IncomingMessage): boolean {
  if (req.complete) return false
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > UNREAD_BODY_KEPT_BYTES
}

/** To be called before the head of an error reply is written. */
export function endUnreadBody (req: IncomingMessage, res: ServerResponse): void {
  const stream = streamOf(req)
  if (stream !== undefined) resetAfter(req, stream)
  else if (leavesTooMuchUnread(req)) closeAfter(req, res)
}

/** Node does this where nothing of the body was read, and takes the rest of one that was begun to its end. */
function resetAfter (req: IncomingMessage, stream: ServerHttp2Stream): void {
  if (req.complete) return
  stream.once('finish', () => resetBehindReply(stream))
}

/**
 * Resets a stream with NO_ERROR (RFC 9113 section 8.1) behind its reply. At once, the reset would overtake the END_STREAM of it, which
 * goes out in one of the next turns of the loop, unless other streams have filled the socket.
 */
export function resetBehindReply (stream: ServerHttp2Stream, turns = 10): void {
  if (turns > 0 && stream.state.localClose === 0) setImmediate(resetBehindReply, stream, turns - 1)
  // Not close(): it would wait until somebody reads what has come in.
  else stream.destroy()
}

/** Makes `res` the last reply of its connection, whose client may be sending still. */
export function closeAfter (req: IncomingMessage, res: ServerResponse): void {
  res.shouldKeepAlive = false
  // Node calls it behind the last reply, and its own would destroy the socket at once.
  req.socket.destroySoon = lingeringEnd
}

interface HttpSocket extends Socket { _paused?: boolean, parser?: { onIncoming?: unknown } | null }

/** For a connection whose last reply is decided: what else it sends becomes no request, and takes no memory. */
export function dropFurtherRequests ({ parser }: HttpSocket): void {
  if (parser?.onIncoming) parser.onIncoming = dropMessage
}

/** What a parser asks at each message; 0 means that there is nothing special about its body. */
function dropMessage (): number {
  return 0
}

function lingeringEnd (this: HttpSocket): void {
  if (this.destroyed) return
  dropFurtherRequests(this)
  // It is not read, so that nothing else keeps a process alive that waits for its end.
  const timer = setTimeout(() => this.destroy(), LINGER_MS)
  this.once('close', () => clearTimeout(timer))
  // Node's own word for not reading: a later resume() of the request does not undo it.
  this._paused = true
  this.pause()
  this.end()
}
