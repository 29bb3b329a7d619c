// One variant of the hello-world, in a process of its own, which tells what it has used when asked.
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify from 'fastify'
import surge, { serverOptions } from 'fastify-surge'
import serverDefaults from 'fastify-surge/server-defaults'
import { cpuTime } from '../support/cpu-time.ts'
import { limits, variants } from './variants.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const { set, plugins } = variants[process.argv[2]!]!
const app = Fastify(set ? serverOptions() : {})
if (plugins === 'server-defaults') await app.register(serverDefaults, limits)
else if (plugins !== undefined) await app.register(surge, plugins)
app.get('/', async () => ({ hello: 'world' }))
await app.listen({ port: 0, host: '127.0.0.1' })

/** Collected over and over, with time between: what one pass finds unreachable may hold more, and finalizers run behind it. */
async function memory (): Promise<{ heapUsed: number, rss: number }> {
  for (let i = 0; i < 4; i++) {
    collect()
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const { heapUsed, rss } = process.memoryUsage()
  return { heapUsed, rss }
}

/** Resolves once the server knows that its clients have left. */
async function empty (): Promise<true> {
  while (await new Promise<number>((resolve, reject) => app.server.getConnections((error, count) => error ? reject(error) : resolve(count))) > 0) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  return true
}

const answers = { empty, port: () => (app.server.address() as AddressInfo).port, cpu: cpuTime, memory }
process.on('message', async (question: keyof typeof answers) => process.send!(await answers[question]()))
process.on('disconnect', () => process.exit())
process.send!('listening')
