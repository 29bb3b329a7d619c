// Makes a door into a Fastify plugin: reads its options, refuses a duplicate, names what it clashes with,
// and creates what exists once a server once. Every plugin of the suite is made here and nowhere else.
import { isDeepStrictEqual } from 'node:util'
import type { Server } from 'node:net'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { show } from './check.ts'
import { Clash, Duplicate } from './errors.ts'
import { suiteState, type SuiteState } from './suite-state.ts'

export interface Definition<Options extends object, Resolved extends object, Core> {
  /** The plugin's folder: 'rate-limit'. Its Fastify name is `fastify-surge/rate-limit`. */
  name: string
  /** Its key in the umbrella's options: 'rateLimit'. */
  key: string
  /** Checks and completes the options. Throws FST_SURGE_BAD_OPTION. */
  read: (input: Options) => Resolved
  /** Exists once a server (true) or once a context and those below it (false). */
  perServer: boolean
  /** Official plugins that do the same work with hooks of their own. */
  replaces?: string[]
  /** Instance decorators that the plugin adds, so that a taken name is an error that says so. */
  decorates?: string[]
  /** Makes what the plugin is about; once a server where `perServer`. */
  create: (app: FastifyInstance, options: Resolved, suite: SuiteState) => Core | Promise<Core>
  /** Hooks it up to one context. */
  attach: (app: FastifyInstance, core: Core, options: Resolved, suite: SuiteState) => void | Promise<void>
}

interface Installed { options: object, core: unknown }

const kInstalled = Symbol.for('fastify-surge.installed')
const perServer = new WeakMap<Server, Map<string, Installed>>()

export function definePlugin<Options extends object, Resolved extends object, Core> (definition: Definition<Options, Resolved, Core>): FastifyPluginAsync<Options> {
  const { name, key, decorates = [], replaces = [] } = definition

  async function register (app: FastifyInstance, input: Options): Promise<void> {
    const options = definition.read(input)
    claim(app, `fastify-surge/${name}`, `Register it once, or pass \`${key}: false\` to the umbrella to configure it on its own.`)
    for (const official of replaces) {
      if (app.hasPlugin(official)) {
        throw new Clash(`${official} is already registered and fastify-surge/${name} does its work: remove the registration of ${official}, or pass \`${key}: false\` to fastify-surge.`)
      }
    }
    for (const decorator of decorates) {
      if (app.hasDecorator(decorator)) {
        throw new Clash(`fastify-surge/${name} adds \`app.${decorator}\`, which exists already: remove the plugin that decorates it, or pass \`${key}: false\` to fastify-surge.`)
      }
    }
    const suite = suiteState(app)
    const core = definition.perServer
      ? await shared(app, definition, options, suite)
      : await definition.create(app, options, suite)
    await definition.attach(app, core, options, suite)
  }

  return fp(register, { fastify: '5.x', name: `fastify-surge/${name}` })
}

/**
 * Marks `name` as present on this context and those below it.
 * @throws FST_SURGE_DUPLICATE when it is there already.
 */
export function claim (app: FastifyInstance, name: string, advice: string): void {
  const scope = app as unknown as Record<symbol, Record<string, true>>
  if (scope[kInstalled]?.[name]) {
    throw new Duplicate(`${name} is already registered on this context or one that encloses it. ${advice}`)
  }
  if (!Object.hasOwn(scope, kInstalled)) scope[kInstalled] = Object.create(scope[kInstalled] ?? null)
  scope[kInstalled]![name] = true
}

async function shared<Options extends object, Resolved extends object, Core> (app: FastifyInstance, definition: Definition<Options, Resolved, Core>, options: Resolved, suite: SuiteState): Promise<Core> {
  let plugins = perServer.get(app.server)
  if (plugins === undefined) perServer.set(app.server, plugins = new Map())
  const first = plugins.get(definition.name)
  if (first === undefined) {
    const core = await definition.create(app, options, suite)
    plugins.set(definition.name, { options, core })
    return core
  }
  if (!isDeepStrictEqual(first.options, options)) {
    throw new Duplicate(`fastify-surge/${definition.name} exists once a server and was registered with ${differing(first.options, options)} first and now with ${differing(options, first.options)}: give both the same options.`)
  }
  return first.core as Core
}

function differing (options: any, other: any): string {
  return show(Object.fromEntries(Object.entries(options).filter(([key, value]) => !isDeepStrictEqual(value, other[key]))))
}
