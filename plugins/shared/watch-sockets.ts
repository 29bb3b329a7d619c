// Tells plugins of each connection that begins and ends, without a listener on its socket: Node puts one of its own on
// 'close' with each reply, and beside a second one that array grows to nineteen places and stays so, which is a twentieth
// of what an idle connection takes.
import type { Server } from 'node:http'
import { Socket } from 'node:net'

type Watcher = (socket: Socket) => void
type Destroy = (this: Socket, error: Error | null, done: (error?: Error | null) => void) => void

interface Watchers { begin: Watcher[], end: Watcher[] }

/** 'secureConnection' is told of TLS behind its handshake, 'connection' of what it runs on as well. */
export type SocketEvent = 'connection' | 'secureConnection'

const watched = new WeakMap<Server, Map<SocketEvent, Watchers>>()

/**
 * Calls `begin` for each socket that `listener` tells of by `event` from now on, unless a watcher before has destroyed it, and `end` once
 * it is destroyed, by whomever. `end` may hear of a socket that `begin` has not.
 */
export function watchSockets (listener: Server, event: SocketEvent, begin: Watcher, end: Watcher): void {
  let events = watched.get(listener)
  if (events === undefined) watched.set(listener, events = new Map())
  let watchers = events.get(event)
  if (watchers === undefined) {
    events.set(event, watchers = { begin: [], end: [] })
    listener.on(event, tellOf(watchers))
  }
  watchers.begin.push(begin)
  watchers.end.push(end)
}

function tellOf ({ begin, end }: Watchers): Watcher {
  function tellEnd (socket: Socket): void {
    for (const watcher of end) watcher(socket)
  }

  // The one place that every end passes; then that of its class.
  const destroy: Destroy = function surgeDestroy (error, done) {
    tellEnd(this)
    Object.getPrototypeOf(this)._destroy.call(this, error, done)
  }

  return function surgeSocket (socket) {
    // A stream that somebody else handed to the listener may have an end of its own.
    if (socket instanceof Socket && !Object.hasOwn(socket, '_destroy')) (socket as { _destroy: Destroy })._destroy = destroy
    else (socket as Socket).once('close', () => tellEnd(socket))
    for (const watcher of begin) {
      if (socket.destroyed) return
      watcher(socket)
    }
  }
}
