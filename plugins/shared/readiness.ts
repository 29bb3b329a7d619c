// Whether a server is ready, and whether it drains: said by lifecycle, where that is, for plugins that may not import it.

export interface Readiness {
  readonly ready: boolean
  readonly draining: boolean
}

const byServer = new WeakMap<object, Readiness>()

export function setReadiness (server: object, readiness: Readiness): void {
  byServer.set(server, readiness)
}

/** Of the app with this `server`; undefined where nobody says. */
export function readinessOf (server: object): Readiness | undefined {
  return byServer.get(server)
}
