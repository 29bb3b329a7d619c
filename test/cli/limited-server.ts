// A server before ten slots of 20 ms, whose gate has the limit that a sweep asks for.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import surge, { serverOptions } from '../../plugins/index.ts'

const SLOTS = 10

const app = Fastify(serverOptions())
await app.register(surge, { pressure: false, concurrency: { limit: Number(process.env.SURGE_LIMIT), maxQueue: 20 } })
let free = SLOTS
const waiting: Array<() => void> = []
app.get('/', async () => {
  if (free === 0) await new Promise<void>(resolve => { waiting.push(resolve) })
  else free--
  await sleep(20)
  const next = waiting.shift()
  if (next === undefined) free++
  else next()
  return 'ok'
})
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
