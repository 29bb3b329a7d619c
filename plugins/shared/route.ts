// What identifies a route: its methods (HEAD counts as GET), url and constraints. Not its config object, of
// which GET and its automatic HEAD have one each: keyed by that, they would count apart.

const kConstraints = Symbol.for('fastify-surge.constraints')
const kExempt = Symbol.for('fastify-surge.exempt')

export interface RouteFacts {
  /** 'GET /items/:id', with the constraints behind it where there are any; '404' where no route matched. */
  readonly key: string
  readonly methods: readonly string[]
  readonly url: string | undefined
  readonly config: Record<string, unknown>
  /** A route of the suite's own, such as a probe, which is never refused. */
  readonly exempt: boolean
}

const UNMATCHED: RouteFacts = { key: '404', methods: [], url: undefined, config: {}, exempt: false }

/** Route config that marks a route of the suite's own. */
export const EXEMPT = { [kExempt]: true }

export function routeOf (config: any): RouteFacts {
  if (config?.url === undefined) return UNMATCHED
  const methods = [...new Set([config.method].flat().map(method => method === 'HEAD' ? 'GET' : method))].sort()
  const constraints = config[kConstraints]
  return {
    key: `${methods.join(',')} ${config.url}${constraints === undefined ? '' : ` ${constraints}`}`,
    methods,
    url: config.url,
    config,
    exempt: config[kExempt] === true
  }
}
