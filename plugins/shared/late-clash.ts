// Finds an official plugin that is registered behind the plugin of ours that does its work. It prevents requests from
// being counted or shed twice without a word: define-plugin sees only what was there before.
import type { FastifyInstance } from 'fastify'
import { Clash } from './errors.ts'

/**
 * On this context a later registration fails `ready()` with FST_SURGE_CLASH. In an encapsulated context below it may
 * be meant, for its own routes: that is a warning.
 */
export function watchForLater (app: FastifyInstance, official: string, name: string, key: string): void {
  const below: FastifyInstance[] = []

  app.addHook('onRegister', function surgeWatchBelow (context) {
    below.push(context)
  })

  app.addHook('onReady', async function surgeLateClash () {
    if (app.hasPlugin(official)) {
      throw new Clash(`${official} was registered after fastify-surge/${name}, which does its work: remove the registration of ${official}, or pass \`${key}: false\` to fastify-surge.`)
    }
    if (below.some(context => context.hasPlugin(official))) {
      app.log.warn(`${official} is registered in a context below fastify-surge/${name}: requests to that context pass both.`)
    }
    below.length = 0
  })
}
