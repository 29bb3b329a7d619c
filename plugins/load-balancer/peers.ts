// Which peers are balancers of ours: those that `trustProxy` names. It prevents a client that comes directly from reading how
// busy the server is.
import type { Socket } from 'node:net'

/** The address is undefined of a Unix socket. */
export type Trust = (address: any, hop: number) => boolean

const kTrusted = Symbol('fastify-surge.trusted-peer')

export class Peers {
  readonly #trusts: Trust

  constructor (trusts: Trust) {
    this.#trusts = trusts
  }

  /** Asked once a connection. */
  has (socket: Socket & { [kTrusted]?: boolean } | null | undefined): boolean {
    if (!socket) return false
    socket[kTrusted] ??= this.#trusts(socket.remoteAddress, 0)
    return socket[kTrusted]
  }
}
