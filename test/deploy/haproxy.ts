// A real HAProxy with a configuration, on a port of its own.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { unusedPort } from '../../cli/unused-port.ts'
import { temporaryDir } from '../support/temporary-dir.ts'
import { get } from './clients.ts'

/** Its port, once a server behind it answers 200. `LISTEN` is told to it, the rest is `env`'s. */
export async function startHaproxy (t: TestContext, config: string, env: Record<string, string>): Promise<number> {
  const file = join(await temporaryDir(t), 'haproxy.cfg')
  await writeFile(file, config)
  const port = await unusedPort()
  const child = spawn('haproxy', ['-db', '-q', '-f', file], { env: { ...process.env, LISTEN: `127.0.0.1:${port}`, ...env }, stdio: ['ignore', 'ignore', 'inherit'] })
  t.after(() => { child.kill('SIGKILL') })
  while (await get(port).then(status => status !== 200, () => true)) {
    assert.equal(child.exitCode, null, 'HAProxy has ended')
    await sleep(20)
  }
  return port
}
