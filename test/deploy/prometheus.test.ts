// The example under load, scraped by a real Prometheus: the text is clean, so are the rules, and every query of the dashboard
// returns data. A panel that shows nothing because a name has changed is found here, and not during an incident.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildApp } from '../../example-app/app.ts'
import { temporaryDir } from '../support/temporary-dir.ts'
import { listen, RawClient } from '../support/raw-http.ts'
import { without } from '../support/service.ts'
import { unusedPort } from '../../cli/unused-port.ts'

const deploy = join(import.meta.dirname, '../../deploy')
const skip = without('prometheus', 'prometheus')

function promtool (args: string[], input = ''): Promise<{ code: number | string, output: string }> {
  return new Promise(resolve => {
    const child = execFile('promtool', args, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, output: stdout + stderr }))
    child.stdin!.end(input)
  })
}

async function startPrometheus (t: TestContext, targets: number[]): Promise<(path: string) => Promise<any>> {
  const dir = await temporaryDir(t)
  const port = await unusedPort()
  const config = readFileSync(join(deploy, 'prometheus/prometheus.yml'), 'utf8')
    .replace("'127.0.0.1:3000'", targets.map(port => `'127.0.0.1:${port}'`).join(', '))
    .replace('rules.yml', join(deploy, 'prometheus/rules.yml'))
    .replaceAll('15s', '1s')
  await writeFile(join(dir, 'prometheus.yml'), config)
  const child = spawn('prometheus', [`--config.file=${dir}/prometheus.yml`, `--storage.tsdb.path=${dir}/data`, `--web.listen-address=127.0.0.1:${port}`], { stdio: 'ignore' })
  t.after(() => { child.kill('SIGKILL') })
  return async path => await (await fetch(`http://127.0.0.1:${port}${path}`)).json()
}

/** What makes every family move: orders past their gate, aborts, 404s, an upstream that answers and one that is not there. */
async function load (port: number): Promise<() => Promise<void>> {
  const upstream = http.createServer((_request, response) => response.end('ok')).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const dead = await unusedPort()
  const over = new AbortController()
  const loops = [async function orders () {
    await Promise.all(Array.from({ length: 100 }, async () => await (await fetch(`http://127.0.0.1:${port}/orders`)).arrayBuffer()))
    await (await fetch(`http://127.0.0.1:${port}/nowhere`)).arrayBuffer()
  }, async function products () {
    const first = await fetch(`http://127.0.0.1:${port}/products`)
    await first.arrayBuffer()
    await (await fetch(`http://127.0.0.1:${port}/products`, { headers: { 'if-none-match': first.headers.get('etag')! } })).arrayBuffer()
    await (await fetch(`http://127.0.0.1:${port}/products/7`, { headers: { 'if-match': '"another"' } })).arrayBuffer()
  }, async function aborts () {
    const client = (await RawClient.connect(port)).get('/report')
    await sleep(20)
    client.reset()
  }, async function upstreams () {
    await (await fetch(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`)).arrayBuffer()
    await fetch(`http://127.0.0.1:${dead}`).catch(() => {})
    await sleep(50)
  }].map(async one => { while (!over.signal.aborted) await one() })
  return async function stop () {
    over.abort()
    await Promise.all(loops)
    upstream.close()
    upstream.closeAllConnections()
  }
}

test('the rules are clean', { skip }, async () => {
  const { code, output } = await promtool(['check', 'rules', join(deploy, 'prometheus/rules.yml')])
  assert.equal(code, 0, output)
})

test('a real Prometheus scrapes the example under load, and every query of the dashboard and the rules returns data', { skip, timeout: 60_000 }, async t => {
  const apps = [await buildApp({ dataDir: await temporaryDir(t), requestsPerMinute: 1e9 }), await buildApp({ dataDir: await temporaryDir(t) })]
  const [port, idle] = [await listen(apps[0]!), await listen(apps[1]!)]
  const stop = await load(port)
  t.after(async () => {
    await stop()
    for (const app of apps) await app.close()
  })
  const ask = await startPrometheus(t, [port, idle])

  await sleep(2_000)
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const { code, output } = await promtool(['check', 'metrics'], text)
  assert.deepEqual([code, output], [0, ''])

  const { panels } = JSON.parse(readFileSync(join(deploy, 'grafana/fastify-surge.json'), 'utf8'))
  const queries: string[] = panels.flatMap(({ targets }: any) => targets.map(({ expr }: any) => expr as string))
    .map((expr: string) => expr.replaceAll('$job', '.*').replaceAll('$instance', '.*').replaceAll('$__rate_interval', '5s'))
  assert.ok(queries.length > 25)
  let empty = queries
  const end = performance.now() + 40_000
  while (empty.length > 0 && performance.now() < end) {
    await sleep(500)
    const answers = await Promise.all(empty.map(async query => await ask(`/api/v1/query?query=${encodeURIComponent(query)}`).catch(() => undefined)))
    for (const answer of answers) assert.notEqual(answer?.status, 'error', answer?.error)
    empty = empty.filter((_, at) => (answers[at]?.data.result ?? []).length === 0)
  }
  assert.deepEqual(empty, [])

  // Of what belongs to one process each has a line of its own.
  for (const name of ['Event loop delay', 'CPU and event loop', 'Memory', 'Memory of the cache']) {
    const [{ expr }] = panels.find(({ title }: any) => title === name).targets
    const query = expr.replaceAll('$job', '.*').replaceAll('$instance', '.*').replaceAll('$__rate_interval', '5s')
    let instances = 0
    // A rate takes two scrapes of each.
    while (instances < 2 && performance.now() < end) {
      const { data } = await ask(`/api/v1/query?query=${encodeURIComponent(query)}`)
      instances = new Set(data.result.map(({ metric }: any) => metric.instance)).size
      if (instances < 2) await sleep(500)
    }
    assert.equal(instances, 2, name)
  }

  const { data } = await ask('/api/v1/rules')
  for (const rule of data.groups[0].rules) assert.equal(rule.health === 'err', false, rule.lastError)
  // Each metric that a rule speaks of exists.
  for (const name of new Set(readFileSync(join(deploy, 'prometheus/rules.yml'), 'utf8').match(/\b(?:http|fastify|nodejs|v8js)_[a-z0-9_]+(?=[{[ )])/g))) {
    const { data } = await ask(`/api/v1/query?query=${name}`)
    assert.ok(data.result.length > 0, name)
  }
})
