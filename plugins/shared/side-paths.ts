// Paths that are answered on a listener beside the app's own, where the lifecycle plugin opens one. It is how plugins that
// may not import each other put what operators ask for, such as metrics, where clients do not come.
import type { IncomingMessage, ServerResponse } from 'node:http'

/** Answers GET and HEAD of one path; the query is its own to read. */
export type SideHandler = (request: IncomingMessage, response: ServerResponse) => void

export interface SidePaths {
  /** Whether there is, or will be, a listener for them. */
  served: boolean
  readonly handlers: Map<string, SideHandler>
}

const byServer = new WeakMap<object, SidePaths>()

/** The side paths of the app with this `server`, whoever asks first. */
export function sidePathsOf (server: object): SidePaths {
  let paths = byServer.get(server)
  if (paths === undefined) byServer.set(server, paths = { served: false, handlers: new Map() })
  return paths
}
