// A real cluster of three nodes and the cluster clients: all policies of a client are one key, so that one script call on
// one node decides them, and clients are spread over the nodes.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import { Cluster as IoCluster, Redis } from 'ioredis'
import { Cluster as ValkeyCluster } from 'iovalkey'
import { createCluster } from 'redis'
import rateLimit from '../../plugins/rate-limit/index.ts'
import { unusedPort } from '../../cli/unused-port.ts'
import { RedisServer, skip } from './redis-server.ts'

const SLOTS = 16_384

class RedisCluster {
  readonly servers: RedisServer[]
  readonly admins: Redis[]

  private constructor (servers: RedisServer[], admins: Redis[]) {
    this.servers = servers
    this.admins = admins
  }

  static async start (t: TestContext): Promise<RedisCluster> {
    const options = async () => ['--cluster-enabled', 'yes', '--cluster-port', String(await unusedPort()), '--cluster-node-timeout', '5000']
    const servers = await Promise.all([0, 1, 2].map(() => RedisServer.start(t, options)))
    const admins = servers.map(({ port }) => {
      const admin = new Redis(port, '127.0.0.1')
      admin.on('error', () => {})
      t.after(() => admin.disconnect())
      return admin
    })
    for (const [i, admin] of admins.entries()) {
      await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', Math.ceil(i * SLOTS / 3), Math.ceil((i + 1) * SLOTS / 3) - 1)
      const [, bus] = await admin.config('GET', 'cluster-port') as [string, string]
      if (i > 0) await admins[0]!.call('CLUSTER', 'MEET', '127.0.0.1', servers[i]!.port, bus)
    }
    const cluster = new RedisCluster(servers, admins)
    await cluster.#joined()
    return cluster
  }

  get ports (): number[] { return this.servers.map(({ port }) => port) }

  /** How often the nodes ran each command since the last time, all of them together. */
  async calls (): Promise<Record<string, number>> {
    const sums: Record<string, number> = {}
    for (const admin of this.admins) {
      for (const [, name, count] of (await admin.info('commandstats')).matchAll(/cmdstat_(evalsha|eval):calls=(\d+)/g)) sums[name!] = (sums[name!] ?? 0) + Number(count)
      await admin.config('RESETSTAT')
    }
    return sums
  }

  async keys (): Promise<string[][]> {
    return await Promise.all(this.admins.map(admin => admin.keys('*')))
  }

  /** Nodes tell each other of their slots in their own time; the test's timeout is the end of it. */
  async #joined (): Promise<void> {
    for (const admin of this.admins) {
      for (;;) {
        const info = await admin.call('CLUSTER', 'INFO') as string
        if (info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')) break
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }
  }
}

const clients: Record<string, (t: TestContext, ports: number[]) => Promise<unknown>> = {
  async ioredis (t, ports) {
    const client = new IoCluster(ports.map(port => ({ host: '127.0.0.1', port })))
    client.on('error', () => {})
    t.after(() => client.disconnect())
    return client
  },
  async iovalkey (t, ports) {
    const client = new ValkeyCluster(ports.map(port => ({ host: '127.0.0.1', port })))
    client.on('error', () => {})
    t.after(() => client.disconnect())
    return client
  },
  async 'node-redis' (t, ports) {
    const client = createCluster({ rootNodes: ports.map(port => ({ url: `redis://127.0.0.1:${port}` })) })
    client.on('error', () => {})
    await client.connect()
    t.after(() => client.destroy())
    return client
  }
}

const names = Array.from({ length: 30 }, (_, i) => `client-${i}`)

async function serve (t: TestContext, redis: unknown, storeTimeout: number): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(rateLimit, {
    redis,
    storeTimeout,
    hook: 'onRequest',
    keyGenerator: request => request.headers['x-client'] as string,
    policies: [{ max: 3, timeWindow: '1 hour' }, { max: 1000, timeWindow: '10 days' }]
  })
  app.get('/', async () => 'ok')
  app.get('/open', { config: { rateLimit: { onStoreError: 'open', max: 1_000 } } }, async () => 'ok')
  app.get('/closed', { config: { rateLimit: { onStoreError: 'closed', max: 1_000 } } }, async () => 'ok')
  await app.ready()
  return app
}

async function ask (app: FastifyInstance, client: string, url = '/'): Promise<number> {
  return (await app.inject({ url, headers: { 'x-client': client } })).statusCode
}

for (const [name, connect] of Object.entries(clients)) {
  test(`${name}: one call decides all policies, on the node of the client's slot`, { skip }, async t => {
    const cluster = await RedisCluster.start(t)
    const one = await serve(t, await connect(t, cluster.ports), 10_000)
    const other = await serve(t, await connect(t, cluster.ports), 10_000)
    // Each node is given the script once, by its first question; braces in a key choose no slot.
    for (const client of [...names, '}{tag}']) assert.equal(await ask(one, client), 200)
    assert.equal((await cluster.calls()).eval, 3)
    for (const client of names) {
      assert.equal(await ask(other, client), 200)
      assert.equal(await ask(one, client), 200)
      assert.equal(await ask(other, client), 429)
      assert.equal(await ask(other, client), 429, 'known without a question')
    }
    assert.deepEqual(await cluster.calls(), { evalsha: 3 * names.length })
    assert.equal(other.quota.stats().known, names.length)
    const keys = await cluster.keys()
    assert.ok(keys.every(({ length }) => length > 0), 'each node has its part')
    assert.deepEqual(keys.flat().sort(), [...names.map(client => `fastify-surge-quota-{${client}}`), 'fastify-surge-quota-{%7d%7btag%7d}'].sort())
    await one.quota.reset({ key: names[0]! })
    assert.equal((await one.quota.charge({ key: names[0]! }, 2))!.policies.map(({ remaining }) => remaining).join(), '1,998')
  })

  test(`${name}: a node that is stopped holds no request`, { skip }, async t => {
    const cluster = await RedisCluster.start(t)
    const app = await serve(t, await connect(t, cluster.ports), 50)
    for (const client of names) await ask(app, client, '/open')
    cluster.servers[0]!.pause()
    for (const client of names) assert.equal(await ask(app, client, '/open'), 200)
    const closed = await Promise.all(names.map(client => ask(app, client, '/closed')))
    assert.ok(closed.every(status => status === 200 || status === 503), String(closed))
    assert.ok(closed.includes(503), 'the clients of that node')
  })
}
