// A server under the suite that counts what it took on, tells its port, and ends by a signal.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import surge, { serverOptions } from '../../plugins/index.ts'

const drainDelay = Number(process.env.DRAIN_DELAY)
const app = Fastify(serverOptions())
let accepted = 0
let answered = 0
let connections = 0
// Without what sheds: on a busy machine that would be counted too.
await app.register(surge, { lifecycle: { signals: true, drainDelay, closeTimeout: 10_000 }, pressure: false, concurrency: false })
app.server.on('connection', () => { connections++ })
app.addHook('onRequest', async () => { accepted++ })
// Of probes as well, which the hook above does not see.
app.addHook('onResponse', async ({ url }) => { if (url === '/') answered++ })
app.get('/', async () => {
  await sleep(5 + Math.random() * 20)
  return 'whole'
})
app.post('/', async request => request.body)
// Behind the last reply.
app.addHook('onClose', async () => { process.stdout.write(JSON.stringify({ accepted, answered, connections }) + '\n') })
await app.listen({ port: Number(process.env.PORT ?? 0), host: '127.0.0.1' })
process.stdout.write(JSON.stringify({ port: (app.server.address() as { port: number }).port }) + '\n')
