// A directory that is gone behind its test.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export async function temporaryDir (t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-surge-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}
