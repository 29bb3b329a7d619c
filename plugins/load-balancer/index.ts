// Tells balancers what only the server knows: how busy it is, how much it can take, and that it drains. It prevents the
// others from being idle while one refuses, and requests to a server that is about to go.
import { performance } from 'node:perf_hooks'
import proxyAddr from '@fastify/proxy-addr'
import type { FastifyInstance } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { optionsOf } from '../shared/fastify-internals.ts'
import type { GateStats } from '../shared/gate/gate-stats.ts'
import { gatesOf } from '../shared/gates.ts'
import type { OwnListener } from '../shared/own-listener.ts'
import { readinessOf } from '../shared/readiness.ts'
import { sidePathsOf } from '../shared/side-paths.ts'
import { AgentCheck, maxconnOf } from './agent-check.ts'
import { agentListener } from './agent-listener.ts'
import { Load, orcaReport } from './load.ts'
import { readLoadBalancer, type LoadBalancer, type LoadBalancerOptions } from './options.ts'
import { Peers, type Trust } from './peers.ts'

export type { LoadBalancerOptions }

export interface LoadBalancerDecorator {
  /** The port of the listener for `agentCheck`, where that is set, once it listens. */
  readonly port: number | undefined
  /** What balancers are told: the larger of in flight / limit and the event loop's utilization, a moving average, 0 to 1. */
  readonly utilization: number
}

declare module 'fastify' {
  interface FastifyInstance {
    loadBalancer: LoadBalancerDecorator
  }
}

interface Core {
  load: Load
  /** The load as a header has it, made once a sample. */
  report: string
  peers: Peers
  /** By lifecycle where that is there, else since close() was called. */
  draining: () => boolean
  agent: OwnListener | undefined
}

const LOAD_HEADER = 'endpoint-load-metrics'
const DRAIN_HEADER = 'x-envoy-immediate-health-check-fail'
const SAMPLE_MS = 100

function createLoadBalancer (app: FastifyInstance, options: LoadBalancer): Core {
  const load = new Load(systemClock.now())
  const trusts = trustOf(optionsOf(app).trustProxy)
  if (trusts === undefined && (options.orca || options.agentCheck === false)) {
    app.log.warn('fastify-surge/load-balancer tells no peer of load or drain: pass `trustProxy` to Fastify, with the addresses of your balancers.')
  }
  let closing = false
  const core: Core = {
    load,
    report: orcaReport(load),
    peers: new Peers(trusts ?? nobody),
    draining: () => closing || readinessOf(app.server)?.draining === true,
    agent: undefined
  }
  app.addHook('preClose', async function surgeTellBalancers () { closing = true })
  startSampling(app, core)
  app.addHook('onReady', async function surgeDrainHeaderOfProbes () { markSidePaths(app, core) })
  if (options.agentCheck !== false) {
    core.agent = openAgent(app, core, options.agentCheck, options.lbCount)
  }
  return core
}

function nobody (): boolean {
  return false
}

/** As Fastify itself reads it; undefined trusts nobody. */
function trustOf (trustProxy: unknown): Trust | undefined {
  if (typeof trustProxy === 'function') return trustProxy as Trust
  if (trustProxy === true) return () => true
  if (trustProxy === '') return undefined
  if (typeof trustProxy === 'string') return proxyAddr.compile(trustProxy.split(',').map(address => address.trim()))
  return Array.isArray(trustProxy) ? proxyAddr.compile(trustProxy) : undefined
}

function startSampling (app: FastifyInstance, core: Core): void {
  let timer: NodeJS.Timeout | undefined
  let last = performance.eventLoopUtilization()
  app.addHook('onReady', async function surgeStartLoad () {
    timer = setInterval(() => {
      const total = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(total, last)
      last = total
      const gates = enforcedGates(app)
      core.load.sample({ inflight: sum(gates, 'inflight'), limit: sum(gates, 'limit'), loop: utilization }, systemClock.now())
      core.report = orcaReport(core.load)
    }, SAMPLE_MS).unref()
  })
  app.addHook('onClose', async function surgeStopLoad () { clearInterval(timer) })
}

/** Others let everybody in: their limit is none. */
function enforcedGates ({ server }: FastifyInstance): GateStats[] {
  return [...gatesOf(server)].filter(gates => gates.enforced()).flatMap(({ groups, stats }) => groups.map(group => stats(group)))
}

function sum<Key extends string> (items: ReadonlyArray<Record<Key, number>>, key: Key): number {
  return items.reduce((total, item) => total + item[key], 0)
}

/** The probes of a listener of their own meet no stage. */
function markSidePaths (app: FastifyInstance, core: Core): void {
  const { handlers } = sidePathsOf(app.server)
  for (const [path, handler] of handlers) {
    handlers.set(path, (request, response) => {
      if (core.draining() && core.peers.has(request.socket)) response.setHeader(DRAIN_HEADER, 'true')
      handler(request, response)
    })
  }
}

function openAgent (app: FastifyInstance, core: Core, address: Exclude<LoadBalancer['agentCheck'], false>, lbCount: number): OwnListener {
  const check = new AgentCheck()
  const agent = agentListener(peer => check.line({
    draining: core.draining(),
    // It opens before the app's own does.
    ready: app.server.listening && readinessOf(app.server)?.ready !== false,
    utilization: core.load.utilization,
    maxconn: maxconnOf(enforcedGates(app), lbCount)
  }, peer, systemClock.now()))
  app.addHook('onReady', async function surgeOpenAgent () { await agent.listen(address) })
  // It answers until the very end: a balancer that gets no answer goes by the last one.
  app.addHook('onClose', async function surgeCloseAgent () { await agent.close() })
  return agent
}

function loadBalancerStage (core: Core, orca: boolean): Stage {
  return {
    name: 'load-balancer',
    configure: () => undefined,
    // No route has settings, so that nobody comes here.
    enter: () => true,

    // Among the headers that Fastify will write, since Node merges those with others one by one, for 0.18 of a hello-world.
    answered ({ request, reply, route }) {
      if (orca && !route.exempt && core.peers.has(request.raw.socket) && !reply.hasHeader(LOAD_HEADER)) reply.header(LOAD_HEADER, core.report)
    },

    head ({ request, reply, route }) {
      const { raw } = reply
      const draining = core.draining()
      if ((!orca && !draining) || raw.headersSent || !core.peers.has(request.raw.socket)) return
      // Replies that are written past Fastify.
      if (orca && !route.exempt && !reply.hasHeader(LOAD_HEADER) && !raw.hasHeader(LOAD_HEADER)) raw.setHeader(LOAD_HEADER, core.report)
      if (draining) raw.setHeader(DRAIN_HEADER, 'true')
    },

    close ({ reply: { raw }, route }) {
      if (!route.exempt && raw.headersSent) core.load.replied(raw.statusCode)
    }
  }
}

export default definePlugin<LoadBalancerOptions, LoadBalancer, Core>({
  name: 'load-balancer',
  key: 'loadBalancer',
  read: readLoadBalancer,
  perServer: true,
  decorates: ['loadBalancer'],
  create: createLoadBalancer,

  attach (app, core, { orca }) {
    app.decorate('loadBalancer', {
      get port () { return core.agent?.port },
      get utilization () { return core.load.utilization }
    })
    admissionOf(app).add(loadBalancerStage(core, orca))
  }
})
