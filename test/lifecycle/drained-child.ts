// A server under the suite that counts what it took on, tells its port, and ends by a signal.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import surge, { serverOptions } from '../../plugins/index.ts'

const drainDelay = Number(process.env.DRAIN_DELAY)
const app = Fastify(serverOptions())
let accepted = 0
let answered = 0
// Without what sheds: on a busy machine that would be counted too.
await app.register(surge, { lifecycle: { signals: true, drainDelay, closeTimeout: 10_000 }, pressure: false, concurrency: false })
app.addHook('onRequest', async () => { accepted++ })
app.addHook('onResponse', async () => { answered++ })
app.get('/', async () => {
  await sleep(5 + Math.random() * 20)
  return 'whole'
})
app.post('/', async request => request.body)
// Behind the last reply.
app.addHook('onClose', async () => { process.stdout.write(JSON.stringify({ accepted, answered }) + '\n') })
await app.listen({ port: Number(process.env.PORT ?? 0), host: '127.0.0.1' })
process.stdout.write(JSON.stringify({ port: (app.server.address() as { port: number }).port }) + '\n')
