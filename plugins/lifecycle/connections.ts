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
}

export class Connections {
  readonly #open = new Map<Connection, State>()
  #closing = false

  get size (): number {
    return this.#open.size
  }

  add (connection: Connection): void {
    this.#open.set(connection, { requests: 0, read: 0 })
  }

  delete (connection: Connection): void {
    this.#open.delete(connection)
  }

  /** A request began on the connection. */
  begin (connection: Connection): void {
    const state = this.#open.get(connection)
    if (state !== undefined) state.requests++
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
    for (const connection of this.#open.keys()) connection.destroy()
  }
}

function destroyIdle (connection: Connection, state: State): void {
  if (state.requests === 0 && connection.bytesRead === state.read) connection.destroy()
}
