// The gates of a server, for who looks at them from outside. Every context may have its own, declared before or after whoever looks.

export interface Gates {
  readonly groups: readonly string[]
  stats: (group: string) => GateCounts
  /** Whether they keep anybody out: not in a dry run, nor while they are switched off. */
  enforced: () => boolean
}

export interface GateCounts {
  limit: number
  adaptive: boolean
  inflight: number
  queued: number
  orphans: number
  admitted: number
  shed: Readonly<Record<string, number>>
  gone: number
  orphansTimedOut: number
}

const byServer = new WeakMap<object, Set<Gates>>()

/** Those of the app with this `server`. */
export function gatesOf (server: object): Set<Gates> {
  let gates = byServer.get(server)
  if (gates === undefined) byServer.set(server, gates = new Set())
  return gates
}
