// Decides, setting by setting, what a listener gets: a value is changed only while it is still Fastify's or Node's
// own, because what somebody set on purpose is theirs.
/** The settings that can be changed after construction, by the name that Node has for them. */
const ADJUSTABLE = {
  requestTimeout: 'requestTimeout',
  headersTimeout: 'headersTimeout',
  keepAliveTimeout: 'keepAliveTimeout',
  checkInterval: 'connectionsCheckingInterval',
  maxConnections: 'maxConnections',
  maxRequestsPerSocket: 'maxRequestsPerSocket'
} as const
type Adjustable = keyof typeof ADJUSTABLE

/** What Fastify 5 or Node 20 to 26 set by themselves. */
const UNTOUCHED: Record<Adjustable, readonly unknown[]> = {
  requestTimeout: [0, 300_000],
  headersTimeout: [60_000],
  keepAliveTimeout: [72_000, 5_000, 65_000, undefined],
  checkInterval: [30_000],
  maxConnections: [undefined, null, 0],
  maxRequestsPerSocket: [0, null, undefined]
}

/** An HTTP/2 server with `allowHTTP1` has Node's limits for HTTP/1 but the one of idle connections, which Node would heed. */
function speaksBoth (name: string, listener: Listener): boolean {
  return name === 'keepAliveTimeout' && 'headersTimeout' in listener
}

export type Listener = Partial<Record<typeof ADJUSTABLE[Adjustable], number | null>>

type Settings = Partial<Record<Adjustable, number | undefined>>

/** Sets what may be set on `listener`, `given` before `defaults`; returns a sentence for each conflict. */
export function applySettings (listener: Listener, given: Settings, defaults: Settings): string[] {
  const conflicts: string[] = []
  for (const key of Object.keys(ADJUSTABLE) as Adjustable[]) {
    const name = ADJUSTABLE[key]
    const wanted = given[key] ?? defaults[key]
    if (wanted === undefined || !(name in listener || name === 'maxConnections' || speaksBoth(name, listener))) continue
    const current = listener[name]
    if (current === wanted) continue
    if (UNTOUCHED[key].includes(current) || current === defaults[key]) {
      listener[name] = wanted
    } else if (given[key] !== undefined) {
      conflicts.push(`\`${key}\` is ${current} on the server already and stays so; serverDefaults asks for ${wanted}. Set it in one place.`)
    }
  }
  const { requestTimeout, headersTimeout } = listener
  if (requestTimeout && headersTimeout && headersTimeout > requestTimeout) listener.headersTimeout = requestTimeout
  return conflicts
}
