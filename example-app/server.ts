// Starts the service by its environment, and stops it on SIGTERM or SIGINT when the replies in flight are out.
import { relative, resolve } from 'node:path'
import type { AddressInfo } from 'node:net'
import { buildApp } from './app.ts'

const { env } = process
const LOCAL = ['127.0.0.1', '::1', 'localhost']
const port = Number(env.PORT || 3000)
const host = env.HOST || '127.0.0.1'
const dataDir = resolve(import.meta.dirname, env.DATA_DIR || 'data')

function fail (message: string): never {
  console.error(message)
  process.exit(1)
}

const requestsPerMinute = Number(env.REQUESTS_PER_MINUTE || 600)
if (!Number.isInteger(requestsPerMinute) || requestsPerMinute < 1) fail(`REQUESTS_PER_MINUTE is ${env.REQUESTS_PER_MINUTE}, and should be a number from 1 on.`)
const ordersLimit = env.SURGE_LIMIT === undefined ? undefined : Number(env.SURGE_LIMIT)
if (ordersLimit !== undefined && !(Number.isInteger(ordersLimit) && ordersLimit >= 1)) fail(`SURGE_LIMIT is ${env.SURGE_LIMIT}, and should be a number from 1 on.`)
if (!Number.isInteger(port) || port < 0 || port > 65_535) fail(`PORT is ${env.PORT}, and should be a number up to 65535.`)

const app = await buildApp({
  dataDir,
  requestsPerMinute,
  ordersLimit,
  // Whoever can reach it could load it, or switch its protections off.
  controls: LOCAL.includes(host),
  signals: true,
  // 'info' logs each request.
  logger: { level: env.LOG_LEVEL || 'warn' }
}).catch((err: any) => {
  if (err.cause?.code === 'LEVEL_LOCKED') fail(`Another process has ${dataDir} open. Stop it, or choose another directory: DATA_DIR=/tmp/products npm start`)
  throw err
})

app.addHook('preClose', async () => { console.log('Finishing what is in flight') })

try {
  await app.listen({ port, host })
} catch (err) {
  await app.close()
  if ((err as NodeJS.ErrnoException).code === 'EADDRINUSE') fail(`Port ${port} of ${host} is taken. Choose another one: PORT=${port + 1} npm start`)
  throw err
}

const url = `http://${host.includes(':') ? `[${host}]` : host}:${(app.server.address() as AddressInfo).port}`
// As seen from where npm was called.
const makeProducts = relative(env.INIT_CWD ?? process.cwd(), resolve(import.meta.dirname, 'make-products.ts'))

console.log(`The example listens on ${url}. ${LOCAL.includes(host) ? `See it live, load it and switch its protections at ${url}/surge.` : `Whoever reaches it sees its metrics at ${url}/metrics and ${url}/surge.`} Or try, in another terminal:

  # The list and its ETag: 200 and 80 KB, then 304 and nothing
  for i in 1 2; do curl -s --compressed --etag-save /tmp/etag --etag-compare /tmp/etag -o /dev/null -w '%{http_code} %{size_download} bytes\\n' ${url}/products; done

  # 40 MB of products, imported as they come in
  npx tsx ${makeProducts} --mb 40 | curl -sN -X POST -T - -H 'content-type: application/x-ndjson' '${url}/products/import?progress=true'

  # 300 orders at once: some 100 are served, the others are told to come back later (503); at the third try the quota of a minute is gone (429)
  curl -Z --parallel-immediate --parallel-max 300 --no-progress-meter -o /dev/null -w '%{http_code}\\n' '${url}/orders?[1-300]' | sort | uniq -c
`)
