// Two servers that a real HAProxy asks by agent-check, with the configuration that is shipped: it holds what they cannot take,
// sends nothing to one that drains, and takes it back when it has started anew.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import surge, { serverOptions } from '../../plugins/index.ts'
import { temporaryDir } from '../support/temporary-dir.ts'
import { without } from '../support/service.ts'
import { unusedPort } from '../../cli/unused-port.ts'
import { CLIENTS, Load } from './clients.ts'
import { startHaproxy } from './haproxy.ts'

const skip = without('haproxy', 'haproxy')
const LIMIT = 4

interface Server { app: FastifyInstance, port: number, agent: number, most: () => number, served: () => number }

async function startServer (t: TestContext, port: number, agent: number): Promise<Server> {
  const app = Fastify(serverOptions())
  t.after(() => app.close())
  await app.register(surge, {
    pressure: false,
    // HAProxy sends the next request as soon as it has all of a reply, which may be a moment before the slot is free.
    concurrency: { limit: LIMIT, maxQueue: LIMIT },
    lifecycle: { drainDelay: 1_000 },
    loadBalancer: { agentCheck: { port: agent, host: '127.0.0.1' } }
  })
  let most = 0
  let now = 0
  let served = 0
  app.get('/', async () => {
    most = Math.max(most, ++now)
    await sleep(10)
    now--
    served++
    return 'whole'
  })
  await app.listen({ port, host: '127.0.0.1' })
  return { app, port, agent, most: () => most, served: () => served }
}

interface Row { status: string, weight: string, slim: string }

class Balancer {
  readonly port: number
  readonly #socket: string

  private constructor (port: number, socket: string) {
    this.port = port
    this.#socket = socket
  }

  static async start (t: TestContext, [one, two]: [Server, Server]): Promise<Balancer> {
    const socket = join(await temporaryDir(t), 'admin')
    const shipped = readFileSync(join(import.meta.dirname, '../../deploy/haproxy/agent-check.cfg'), 'utf8')
    const text = shipped
      .replace('global\n', `global\n    stats socket ${socket} level admin\n`)
      .replace('agent-inter 1s', 'agent-inter 100ms').replace('inter 1s fall', 'inter 100ms fall')
      // Nothing is hidden by asking twice, and a busy machine may take its time.
      .replace('retries 2', 'retries 0').replace('timeout queue 500ms', 'timeout queue 10s')
    const env = { SERVER_ONE: `127.0.0.1:${one.port}`, SERVER_TWO: `127.0.0.1:${two.port}`, AGENT_ONE: String(one.agent), AGENT_TWO: String(two.agent) }
    return new Balancer(await startHaproxy(t, text, env), socket)
  }

  async row (name: string): Promise<Row> {
    const socket = net.connect(this.#socket).end('show stat\n')
    let text = ''
    for await (const data of socket) text += data
    const [head, ...lines] = text.trim().split('\n').map(line => line.replace(/^# /, '').split(','))
    const values = lines.find(line => line[1] === name)!
    return Object.fromEntries(head!.map((key, i) => [key, values[i]])) as unknown as Row
  }

  /** Asks until a server's row is as wanted. */
  async until (name: string, wanted: (row: Row) => boolean): Promise<void> {
    const end = performance.now() + 20_000
    for (let row = await this.row(name); !wanted(row); row = await this.row(name)) {
      assert.ok(performance.now() < end, `${name} stays ${JSON.stringify(row)}`)
      await sleep(20)
    }
  }
}

test('HAProxy holds what the servers cannot take, sends nothing to one that drains, and takes it back when it is started anew', { skip }, async t => {
  const ports = [await unusedPort(), await unusedPort(), await unusedPort(), await unusedPort()] as const
  const one = await startServer(t, ports[0], ports[1])
  const two = await startServer(t, ports[2], ports[3])
  const balancer = await Balancer.start(t, [one, two])
  for (const name of ['one', 'two']) await balancer.until(name, ({ status, slim }) => status === 'UP' && slim === String(LIMIT))

  // More than both can run and have room for: they would refuse what HAProxy did not hold.
  assert.ok(CLIENTS > 4 * LIMIT)
  const load = new Load(balancer.port)
  await load.more(300)
  await balancer.until('one', ({ weight }) => Number(weight) < 90)
  assert.equal(one.most(), LIMIT)
  assert.equal(two.most(), LIMIT)

  const closed = one.app.close()
  await balancer.until('one', ({ status }) => status.startsWith('DRAIN'))
  await closed
  const served = one.served()
  await load.more(300)
  assert.equal(one.served(), served)

  const anew = await startServer(t, one.port, one.agent)
  await balancer.until('one', ({ status }) => status === 'UP')
  await load.more(300)
  assert.ok(anew.served() > 50, String(anew.served()))
  await load.stop()
  assert.deepEqual(load.failures, [])
})
