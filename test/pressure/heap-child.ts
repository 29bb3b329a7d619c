// A server with a small heap whose every request keeps a megabyte: it must shed before V8 gives up.
import Fastify from 'fastify'
import pressure from '../../plugins/pressure/index.ts'

const app = Fastify()
await app.register(pressure, { sampleInterval: 20 })
const kept: unknown[] = []
app.get('/', async () => {
  kept.push(Array.from({ length: 16_000 }, (_, i) => ({ i, text: `record ${i}` })))
  return 'kept'
})
const address = await app.listen({ port: 0, host: '127.0.0.1' })
let refused: Response | undefined
for (let i = 0; i < 1000 && refused === undefined; i++) {
  const reply = await fetch(address)
  if (reply.status === 503) refused = reply
  else await reply.text()
}
process.stdout.write(JSON.stringify({ kept: kept.length, body: await refused?.json(), heap: process.memoryUsage().heapUsed }))
process.exit()
