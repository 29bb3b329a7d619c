// Finds an official plugin that is registered behind the plugin of ours that does its work. It prevents requests from
// being counted or shed twice without a word: define-plugin sees only what was there before.
import type { FastifyInstance } from 'fastify'
import { Clash } from './errors.ts'

/** In an encapsulated context below, the official plugin may be meant, for its own routes: 'warn'; or cannot work beside ours: 'refuse'. */
export type Below = 'warn' | 'refuse'

/** A later registration on this context fails `ready()` with FST_SURGE_CLASH; one below it is a warning, unless `below` says otherwise. */
export function watchForLater (app: FastifyInstance, officials: string | string[], name: string, key: string, below: Below = 'warn'): void {
  const contexts: FastifyInstance[] = []

  app.addHook('onRegister', function surgeWatchBelow (context) {
    contexts.push(context)
  })

  app.addHook('onReady', async function surgeLateClash () {
    for (const official of [officials].flat()) {
      const isBelow = contexts.some(context => context.hasPlugin(official))
      if (app.hasPlugin(official) || (isBelow && below === 'refuse')) {
        throw lateClash(official, name, key)
      }
      if (isBelow) app.log.warn(`${official} is registered in a context below fastify-surge/${name}: requests to that context pass both.`)
    }
    contexts.length = 0
  })
}

/** Where the official plugin adds instance decorators of ours, Fastify would say that they exist, and not whose they are or what to do. */
export function nameTakenDecorators (app: FastifyInstance, decorators: string[], official: string, name: string, key: string): void {
  const { decorate } = app
  app.decorate = function surgeDecorate (this: FastifyInstance, decorator: string, ...rest: any[]) {
    if (decorators.includes(decorator) && Object.hasOwn(this, decorator) && this.hasPlugin(official)) throw lateClash(official, name, key)
    return (decorate as any).call(this, decorator, ...rest)
  } as typeof app.decorate
}

function lateClash (official: string, name: string, key: string): Error {
  return new Clash(`${official} was registered after fastify-surge/${name}, which does its work: remove the registration of ${official}, or pass \`${key}: false\` to fastify-surge.`)
}
