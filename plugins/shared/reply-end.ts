// Whether a reply is whole when it is closed, or its client has left. Node's own properties say that only of HTTP/1 over a
// socket: of HTTP/2 `writableFinished` is true after a reset too, and of inject() it is never true.
import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'

export function isComplete (reply: ServerResponse | Http2ServerResponse): boolean {
  if ('stream' in reply) return reply.writableEnded && reply.stream?.rstCode === 0
  return reply.writableFinished || (reply.writableEnded && 'isLightMyRequest' in reply)
}
