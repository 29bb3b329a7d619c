// The structure of the suite, as a test: what may import what, and that the table, the folders, the exports and the
// README name the same plugins.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { suite } from '../plugins/suite.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const plugins = join(root, 'plugins')
const files = readdirSync(plugins, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts')).sort()
const folders = readdirSync(plugins, { withFileTypes: true }).filter(entry => entry.isDirectory() && entry.name !== 'shared').map(entry => entry.name).sort()

interface Import { from: string, to: string, typeOnly: boolean }

const imports: Import[] = files.flatMap(from => {
  const source = readFileSync(join(plugins, from), 'utf8')
  return [...source.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'"\n;]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm)]
    .map(([, type, name, dynamic]) => ({ from, to: name ?? dynamic!, typeOnly: type !== undefined }))
})

function resolved ({ from, to }: Import): string {
  return relative(plugins, join(plugins, dirname(from), to))
}
const inner = imports.filter(({ to }) => to.startsWith('.'))

/** umbrella → doors → options and adapters → cores → shared */
const ADAPTERS = ['options.ts', 'official.ts', 'server-options.ts', 'representation.ts', 'reply-encoder.ts', 'parts.ts', 'pool.ts', 'limits.ts', 'judgement.ts', 'listener-guard.ts']
function layer (file: string): number {
  const [folder, name] = file.split('/') as [string, string?]
  if (name === undefined) return 0
  if (folder === 'shared') return 4
  return name === 'index.ts' ? 1 : ADAPTERS.includes(name) ? 2 : 3
}

test('there is something to look at', () => {
  assert.ok(files.length > 30)
  assert.ok(inner.length > 60)
  assert.ok(folders.length >= 8)
})

test('doors alone import Fastify: and the adapters of official plugins, and the two shared files made for it', () => {
  const allowed = ['shared/define-plugin.ts', 'shared/errors.ts', 'index.ts']
  const strays = imports
    .filter(({ to, typeOnly }) => !typeOnly && /^(fastify$|fastify-plugin$|@fastify\/)/.test(to))
    .filter(({ from }) => layer(from) !== 1 && !from.endsWith('/official.ts') && !allowed.includes(from))
  assert.deepEqual(strays, [])
})

test('arrows point down only', () => {
  const up = inner.filter(entry => layer(resolved(entry)) < layer(entry.from))
  assert.deepEqual(up, [])
})

test('plugins do not reach into each other', () => {
  const across = inner.filter(entry => {
    const [from, to] = [entry.from.split('/')[0], resolved(entry).split('/')[0]]
    return layer(entry.from) > 0 && to !== from && to !== 'shared'
  })
  assert.deepEqual(across, [])
})

test('there are no cycles', () => {
  const next = new Map<string, string[]>()
  for (const entry of inner) next.set(entry.from, [...next.get(entry.from) ?? [], resolved(entry)])
  const done = new Set<string>()
  function visit (file: string, path: string[]): void {
    assert.ok(!path.includes(file), `cycle: ${[...path, file].join(' → ')}`)
    if (done.has(file)) return
    for (const to of next.get(file) ?? []) visit(to, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
})

test('the command line is a program of its own: it imports neither plugins nor benchmarks', () => {
  const cli = join(root, 'cli')
  for (const file of readdirSync(cli)) {
    for (const [, name] of readFileSync(join(cli, file), 'utf8').matchAll(/^import .*from '([^']+)'/gm)) assert.match(name!, /^(\.\/|node:|@lukeed\/ms$)/, file)
  }
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  assert.deepEqual(bin, { 'fastify-surge': './dist/cli/index.js' })
})

test('every import resolves', () => {
  for (const entry of inner) assert.ok(files.includes(resolved(entry)), `${entry.from} imports ${entry.to}`)
})

test('the table, the folders, the exports, the docs and the README name the same plugins', () => {
  const table = Object.values(suite).map(({ folder }) => folder as string).sort()
  assert.deepEqual(table, folders)
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  assert.deepEqual(Object.keys(exports).sort(), ['.', './package.json', ...folders.map(folder => `./${folder}`)].sort())
  for (const folder of folders) assert.equal(exports[`./${folder}`], `./dist/${folder}/index.js`)
  const pages = readdirSync(join(root, 'docs'))
  for (const folder of folders) assert.ok(pages.includes(`${folder}.md`), `docs/${folder}.md`)
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const rows = [...readme.matchAll(/^\| \[`([a-z-]+)`\]\(docs\/([a-z-]+)\.md\) \|/gm)]
  assert.deepEqual(rows.map(([, name]) => name).sort(), folders)
  for (const [, name, page] of rows) assert.equal(name, page)
})

test('every plugin has a door, options and a test of its door', () => {
  for (const folder of folders) {
    for (const file of ['index.ts', 'options.ts']) assert.ok(files.includes(`${folder}/${file}`), `plugins/${folder}/${file}`)
    assert.ok(readdirSync(join(root, 'test', folder)).includes('plugin.test.ts'), `test/${folder}/plugin.test.ts`)
  }
})
