// Ends of a reply that its own 'close' does not tell of, or does not bring about.
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

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
 * An upgrade that is answered with a reply instead, because it was refused: Node has let go of the connection, so no
 * timeout of the server would ever end it.
 */
export function endWithReply (res: ServerResponse): void {
  res.shouldKeepAlive = false
  res.once('finish', function endUpgrade () {
    res.socket?.destroySoon()
  })
}
