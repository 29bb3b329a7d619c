// Watches the connections and sessions of every listener of a server, the secondary ones of 'localhost' too, which Fastify
// forgets when it closes.
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Http2Session } from 'node:http2'
import { parsersOf } from '../shared/fastify-internals.ts'
import { watchSockets } from '../shared/watch-sockets.ts'
import type { Connections } from './connections.ts'

export function watchListener (listener: Server, connections: Connections, sessions: Set<Http2Session>): void {
  const secure = 'setSecureContext' in listener
  watchSockets(listener, secure ? 'secureConnection' : 'connection', socket => connections.add(socket), socket => connections.delete(socket))
  if (secure) watchSockets(listener, 'connection', socket => connections.addUnderlying(socket), socket => connections.deleteUnderlying(socket))
  listener.on('session', (session: Http2Session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  // Node calls this one from server.close().
  if ('closeIdleConnections' in listener) listener.closeIdleConnections = () => connections.closeIdle(unaskedOf(listener))
}

/** What Node's own closeIdleConnections() goes by: connections whose parser is between two requests, replied to or not. None where Node has no such list. */
export function unaskedOf (listener: Server): Socket[] {
  return (parsersOf(listener)?.idle() ?? []).flatMap(({ socket }) => socket ?? [])
}

/** Fastify closes the secondary listeners of 'localhost' without waiting for what they serve. `atMost` in milliseconds. */
export async function closeListeners (listeners: Server[], atMost: number): Promise<void> {
  const closed = listeners.filter(listener => listener.listening)
    .map(listener => new Promise<void>(resolve => listener.close(() => resolve())))
  if (closed.length === 0) return
  let timer
  await Promise.race([Promise.all(closed), new Promise(resolve => { timer = setTimeout(resolve, atMost) })])
  clearTimeout(timer)
}
