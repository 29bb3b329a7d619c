// The listener that HAProxy's agent-check asks: it says one line to whoever connects, and hears nothing.
import net, { type Socket } from 'node:net'
import { OwnListener } from '../shared/own-listener.ts'

const MAX_CONNECTIONS = 100
/** Milliseconds that a client has to read its line. */
const LINGER_MS = 1_000

/** @param line what the peer of this address is told */
export function agentListener (line: (peer: string) => string): OwnListener {
  const sockets = new Set<Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
    socket.on('error', () => {}).on('close', () => {
      clearTimeout(timer)
      sockets.delete(socket)
    })
    // What `agent-send` says is thrown away: left unread, it would turn the end into a reset.
    socket.resume().end(line(socket.remoteAddress ?? ''))
  })
  server.maxConnections = MAX_CONNECTIONS
  return new OwnListener(server, () => { for (const socket of sockets) socket.destroy() })
}
