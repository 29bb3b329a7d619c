// The example is tested as users run it, on dist: one that is missing or older than the sources says so, instead of failing
// with what the sources have already changed.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

function changed (file: string): number {
  return statSync(join(ROOT, file), { throwIfNoEntry: false })?.mtimeMs ?? -Infinity
}

/** @throws where dist does not show the sources: `npm run build` makes it. */
export function assertBuilt (): void {
  const built = changed('dist/index.js')
  const sources = readdirSync(join(ROOT, 'plugins'), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
  const newer = sources.find(file => changed(join('plugins', file)) > built)
  if (newer !== undefined) throw new Error(`The example runs on dist, which ${built === -Infinity ? 'is missing' : `is older than plugins/${newer}`}: run npm run build`)
}
