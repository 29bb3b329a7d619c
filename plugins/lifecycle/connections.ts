// Knows every open connection and what it is busy with, so that a closing server ends each as soon as it is idle.
// Node's own closeIdleConnections() takes a reply for finished once end() was called and cuts what is not flushed yet,
// takes a connection that never sent a byte for busy, and forgets those of secondary listeners.

/** What is needed of a socket; a TLS socket counts what it decrypted. */
export interface Connection {
  readonly bytesRead: number
  destroy: () => unknown
}

interface State {
  /** Requests begun and not closed. */
  requests: number
  /** `bytesRead` when the last request was over: more than that is the beginning of another one. */
  read: number
  /** A reply has said `Connection: close`. */
  ending: boolean
}

export class Connections {
  readonly #open = new Map<Connection, State>()
  /** What TLS connections run on. One whose handshake is not over has nothing else, and may take its time. */
  readonly #underlying = new Set<Connection>()
  #closing = false

  get size (): number {
    return this.#open.size
  }

  add (connection: Connection): void {
    this.#open.set(connection, { requests: 0, read: 0, ending: false })
    // Its handshake took until now: it has asked for nothing yet.
    if (this.#closing) connection.destroy()
  }

  addUnderlying (connection: Connection): void {
    this.#underlying.add(connection)
  }

  deleteUnderlying (connection: Connection): void {
    this.#underlying.delete(connection)
  }

  delete (connection: Connection): void {
    this.#open.delete(connection)
  }

  /** A request began on the connection. False: a reply before it has ended the connection, and nothing is to be done for it (RFC 9112 section 9.6). */
  begin (connection: Connection): boolean {
    const state = this.#open.get(connection)
    if (state === undefined) return true
    state.requests++
    return !state.ending
  }

  /**
   * Whether the reply that is about to begin may say `Connection: close`. Not while others are in flight on the same
   * connection: those behind it would be cut, and those before it come first.
   */
  mayEnd (connection: Connection): boolean {
    const state = this.#open.get(connection)
    if (state === undefined) return true
    state.ending = state.requests <= 1
    return state.ending
  }

  /** A reply is over: flushed, or cut by its client. */
  end (connection: Connection): void {
    const state = this.#open.get(connection)
    if (state === undefined) return
    state.requests--
    state.read = connection.bytesRead
    if (this.#closing) destroyIdle(connection, state)
  }

  /** Ends the idle connections now and every other one with its last reply. */
  close (): void {
    this.#closing = true
    this.closeIdle()
  }

  closeIdle (): void {
    for (const [connection, state] of this.#open) destroyIdle(connection, state)
  }

  /** Ends all of them, whatever they are busy with. */
  destroy (): void {
    for (const connections of [this.#open.keys(), this.#underlying]) {
      for (const connection of connections) connection.destroy()
    }
  }
}

function destroyIdle (connection: Connection, state: State): void {
  if (state.requests === 0 && connection.bytesRead === state.read) connection.destroy()
}
