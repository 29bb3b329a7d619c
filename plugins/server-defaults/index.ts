// Gives every listener timeouts and keep-alive that hold under load, and says at boot which settings are unsafe. It
// prevents connections that nobody ends, and 502s from a balancer that outlives the server's keep-alive.
import { definePlugin } from '../shared/define-plugin.ts'
import { addNodeOptions, listenersOf, optionsOf } from '../shared/fastify-internals.ts'
import { defaults, readServerDefaults, type ServerDefaultsOptions } from './options.ts'
import { serverOptions } from './server-options.ts'
import { applySettings, type Listener } from './settings.ts'
import { unsafeSettings } from './warnings.ts'

export type { ServerDefaultsOptions }
export { serverOptions }

export default definePlugin<ServerDefaultsOptions, ServerDefaultsOptions, null>({
  name: 'server-defaults',
  key: 'serverDefaults',
  read: readServerDefaults,
  perServer: true,

  create (app, given) {
    const server = app.server as Listener
    for (const conflict of applySettings(server, given, defaults)) app.log.warn(conflict)
    // Read once, when a listener begins to listen: too late for the hook below.
    addNodeOptions(app, { connectionsCheckingInterval: given.checkInterval ?? defaults.checkInterval })

    app.addHook('onListen', async function surgeSecondaryListeners () {
      for (const listener of listenersOf(app).slice(1)) applySettings(listener as Listener, given, defaults)
    })

    const { trustProxy, return503OnClosing = true } = optionsOf(app)
    const warnings = unsafeSettings({
      trustProxy,
      keepAliveTimeout: server.keepAliveTimeout ?? undefined,
      lbIdleTimeout: given.lbIdleTimeout,
      return503OnClosing,
      nodeVersion: process.version,
      today: new Date().toISOString().slice(0, 10)
    })
    for (const warning of warnings) app.log.warn(warning)
    return null
  },

  attach () {}
})
