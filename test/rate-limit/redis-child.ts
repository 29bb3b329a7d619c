// One of several processes that share a quota: sends itself so many requests and tells how many passed.
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import rateLimit from '../../plugins/rate-limit/index.ts'

const [port, max, requests] = process.argv.slice(2).map(Number) as [number, number, number]
const redis = new Redis(port, '127.0.0.1')
const app = Fastify()
await app.register(rateLimit, { redis, max, timeWindow: '1 hour', storeTimeout: 10_000, onStoreError: 'closed' })
app.get('/', async () => 'ok')
let admitted = 0
for (let sent = 0; sent < requests; sent += 20) {
  const replies = await Promise.all(Array.from({ length: 20 }, () => app.inject('/')))
  admitted += replies.filter(({ statusCode }) => statusCode === 200).length
}
process.send!(admitted)
redis.disconnect()
await app.close()
process.disconnect()
