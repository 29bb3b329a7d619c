// Which protocol a request came by. `httpVersion` is what its client wrote into the request line: `GET / HTTP/2.0` on a
// connection of HTTP/1 has that version, and no stream.
import type { IncomingMessage } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'

/** The request's stream of HTTP/2; undefined of HTTP/1. */
export function streamOf (req: object): ServerHttp2Stream | undefined {
  return (req as { stream?: ServerHttp2Stream }).stream
}

/** Whether it may become another protocol. Java's client asks each server for h2c, which is then not spoken, and means nothing by it. */
export function asksForUpgrade ({ headers: { upgrade } }: IncomingMessage): boolean {
  return upgrade !== undefined && upgrade !== 'h2c'
}
