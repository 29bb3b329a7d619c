// The gates of a server, for who looks at them from outside. Every context may have its own, declared before or after whoever looks.
import type { GateStats } from './gate/gate-stats.ts'

export interface Gates {
  readonly groups: readonly string[]
  stats: (group: string) => GateStats
  /** Whether they keep anybody out: not in a dry run, nor while they are switched off. */
  enforced: () => boolean
}

const byServer = new WeakMap<object, Set<Gates>>()

/** Those of the app with this `server`. */
export function gatesOf (server: object): Set<Gates> {
  let gates = byServer.get(server)
  if (gates === undefined) byServer.set(server, gates = new Set())
  return gates
}
