// Names the routes that were declared before what hangs on `onRoute` loaded: they get admission only, and a server that
// believes otherwise would run without it and without a word (fastify-rate-limit#292, #362).
import type { FastifyInstance } from 'fastify'

const kListed = Symbol.for('fastify-surge.early-routes')

/** Warns once an app of what its earlier routes go without: at the umbrella of all, else at each plugin that came too late for them. */
export function listEarlyRoutes (app: FastifyInstance, lost: readonly string[]): void {
  const scope = app as unknown as Record<symbol, readonly string[] | undefined>
  const listed = scope[kListed] ?? []
  const news = lost.filter(one => !listed.includes(one))
  if (news.length === 0) return
  scope[kListed] = [...listed, ...news]
  const routes = declaredRoutes(app)
  if (routes.length === 0) return
  app.log.warn(
    { routes },
    `${routes.length} route${routes.length === 1 ? ' was' : 's were'} declared before fastify-surge loaded and ${routes.length === 1 ? 'gets' : 'get'} admission at most, no ${news.join(', no ')}: ${routes.join(', ')}. ` +
    'Declare routes behind `await app.register(surge)`.'
  )
}

/** 'GET /items' and so on. Fastify lists routes as a drawing only, one branch a line, nested by common prefix. */
export function declaredRoutes (app: FastifyInstance): string[] {
  const routes: string[] = []
  const prefixes: string[] = []
  for (const line of app.printRoutes({ commonPrefix: false }).split('\n')) {
    const branch = /^([│ ]*)[├└]── (.*?)(?: \(([A-Z, -]+)\).*)?$/.exec(line)
    if (branch === null) continue
    const depth = branch[1]!.length / 4
    prefixes.length = depth
    prefixes.push(branch[2]!)
    // OPTIONS has no representation: @fastify/cors, which goes first, declares one.
    const methods = branch[3]?.split(', ').filter(method => method !== 'HEAD' && method !== 'OPTIONS')
    if (methods !== undefined && methods.length > 0) routes.push(`${methods.join(',')} ${prefixes.join('')}`)
  }
  return routes
}
