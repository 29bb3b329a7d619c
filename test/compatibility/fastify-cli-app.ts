// What `fastify start` is given: a plugin, and the server's options by the name that fastify-cli has for them.
import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import surge, { serverOptions } from '../../plugins/index.ts'

export const options = serverOptions()

export default async function plugin (app: FastifyInstance, _options: object): Promise<void> {
  await app.register(surge)
  app.get('/', async () => {
    console.log('in its handler')
    // Goes on once the server drains.
    if (!app.lifecycle.signal.aborted) await once(app.lifecycle.signal, 'abort')
    return 'whole'
  })
  app.addHook('onListen', async () => { console.log('listens') })
}
