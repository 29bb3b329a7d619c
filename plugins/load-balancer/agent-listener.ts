// The listener that HAProxy's agent-check asks: it says one line to whoever connects, and hears nothing.
import net, { type Socket } from 'node:net'
import { portOf, startListening, stopListening, type Address } from '../shared/listen.ts'

const MAX_CONNECTIONS = 100
/** Milliseconds that a client has to read its line. */
const LINGER_MS = 1_000

export class AgentListener {
  readonly #server: net.Server
  readonly #sockets = new Set<Socket>()

  constructor (line: (peer: string) => string) {
    this.#server = net.createServer(socket => {
      this.#sockets.add(socket)
      const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
      socket.on('error', () => {}).on('close', () => {
        clearTimeout(timer)
        this.#sockets.delete(socket)
      })
      // What `agent-send` says is thrown away: left unread, it would turn the end into a reset.
      socket.resume().end(line(socket.remoteAddress ?? ''))
    })
    this.#server.maxConnections = MAX_CONNECTIONS
  }

  get port (): number | undefined {
    return portOf(this.#server)
  }

  /** Rejects when the port is taken. */
  async listen (address: Address): Promise<void> {
    await startListening(this.#server, address)
  }

  async close (): Promise<void> {
    await stopListening(this.#server, () => { for (const socket of this.#sockets) socket.destroy() })
  }
}
