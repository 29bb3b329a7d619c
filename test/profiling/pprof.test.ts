// The profiles of the example under load, as `go tool pprof` reads them.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startServer } from '../example-app/client.ts'
import { temporaryDir } from '../support/temporary-dir.ts'
import { without } from '../support/service.ts'

test('go tool pprof reads CPU and heap profiles of the loaded example and names its hot function', { skip: without('go', 'golang-go') }, async t => {
  const dir = await temporaryDir(t)
  const { port } = await startServer(t, { PORT: '0', DATA_DIR: join(dir, 'data'), REQUESTS_PER_MINUTE: '1000000' })
  const url = `http://127.0.0.1:${port}`
  const over = new AbortController()
  async function load (): Promise<void> {
    while (!over.signal.aborted) await (await fetch(`${url}/report`)).arrayBuffer()
  }
  const loaded = load()
  try {
    for (const kind of ['profile', 'heap', 'allocs']) {
      const reply = await fetch(`${url}/debug/pprof/${kind}?seconds=1`)
      assert.equal(reply.status, 200)
      const file = join(dir, kind)
      await writeFile(file, Buffer.from(await reply.arrayBuffer()))
      const { stdout } = await promisify(execFile)('go', ['tool', 'pprof', '-top', '-cum', '-nodecount=60', file], { env: { ...process.env, PPROF_TMPDIR: dir } })
      if (kind === 'heap') assert.match(stdout, /^Type: inuse_space/m)
      else assert.match(stdout, /\blookalikes$/m)
    }
  } finally {
    over.abort()
    await loaded
  }
})
