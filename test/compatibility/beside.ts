// Boots an app with the whole suite on, a rate limit too, beside a plugin of somebody else's, and says when all is at rest.
import type { TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import surge, { serverOptions, type SurgeOptions } from '../../plugins/index.ts'
import { eventually, listen } from '../support/raw-http.ts'

export interface Line { level: number, msg: string, [key: string]: unknown }

export interface Beside {
  app: FastifyInstance
  port: number
  /** Everything logged so far. */
  lines: Line[]
}

export interface Parts {
  /** What goes before the suite: cors, helmet. */
  before?: (app: FastifyInstance) => unknown
  options?: SurgeOptions
  /** What goes behind it: everything else, and the routes. */
  behind: (app: FastifyInstance) => unknown
}

export async function serveBeside (t: TestContext, { before, options = {}, behind }: Parts): Promise<Beside> {
  const lines: Line[] = []
  const app = Fastify(serverOptions({ logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })) as unknown as FastifyInstance
  t.after(() => app.close())
  await before?.(app)
  await app.register(surge, { rateLimit: { max: 1_000, timeWindow: '1 minute' }, ...options })
  await behind(app)
  return { app, port: await listen(app), lines }
}

/** No slot of any gate is taken, and nobody waits for one. */
export async function atRest ({ concurrency }: FastifyInstance): Promise<void> {
  await eventually(() => concurrency.groups.every(group => {
    const { inflight, queued, orphans } = concurrency.stats(group)
    return inflight === 0 && queued === 0 && orphans === 0
  }), 'every slot given back')
}

/** close() ends by itself, long before closeTimeout, 20 s by default, at which it would destroy what is left. */
export async function closesByItself (app: { close: () => PromiseLike<unknown> }): Promise<void> {
  let closed = false
  const closing = app.close().then(() => { closed = true })
  await eventually(() => closed, 'close() is over')
  await closing
}

/** Lines of level warn and above that are not about this machine's Node. */
export function complaints (lines: Line[]): string[] {
  return lines.filter(({ level, msg }) => level >= 40 && !msg.startsWith('Node ')).map(({ msg }) => msg)
}
