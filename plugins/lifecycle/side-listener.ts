// A small listener beside the app's, for probes and whatever else operators ask. It has an accept queue of its own, so that
// 10,000 clients in front of the other one delay no liveness probe behind them.
import http from 'node:http'
import { OwnListener } from '../shared/own-listener.ts'
import type { SideHandler } from '../shared/side-paths.ts'

const TIMEOUT_MS = 5_000
const MAX_CONNECTIONS = 100

export function sideListener (handlers: ReadonlyMap<string, SideHandler>): OwnListener {
  const server = http.createServer({ headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS, connectionsCheckingInterval: 1_000, keepAliveTimeout: TIMEOUT_MS }, (request, response) => {
    const handler = handlers.get(request.url!.split('?', 1)[0]!)
    if (handler === undefined) answer(response, 404)
    else if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405)
    else handler(request, response)
  })
  server.maxConnections = MAX_CONNECTIONS
  return new OwnListener(server, () => server.closeAllConnections())
}

/** Ends a reply with a JSON body that says no more than its status. */
export function answer (response: http.ServerResponse, status: number, body = JSON.stringify({ statusCode: status, error: http.STATUS_CODES[status] })): void {
  // One client could keep all of its connections else, a blank line now and then, and nobody else would be answered.
  response.writeHead(status, { connection: 'close', 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}
