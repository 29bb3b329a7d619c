// The commands as a user calls them, against servers that are started and stopped for it.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDir } from '../support/temporary-dir.ts'

interface Said { code: number, out: string, err: string }

const CLI = join(import.meta.dirname, '../../cli/index.ts')
const LIMITED = `"${process.execPath}" --import tsx "${join(import.meta.dirname, 'limited-server.ts')}"`
const SLOW = `"${process.execPath}" "${join(import.meta.dirname, 'slow-server.mjs')}"`

function surge (...args: string[]): Promise<Said> {
  return new Promise(resolve => {
    execFile(process.execPath, ['--import', 'tsx', CLI, ...args], (error, out, err) => resolve({ code: error === null ? 0 : error.code as number, out, err }))
  })
}

test('sweep recommends a limit, and writes plot and figures', async t => {
  const directory = await temporaryDir(t)
  const [html, json] = [join(directory, 'a.html'), join(directory, 'a.json')]
  const { code, out, err } = await surge('sweep', '--server', LIMITED, '--limits', '2,20', '--rate', '600', '--duration', '2s', '--warm-up', '300ms', '--html', html, '--json', json)
  assert.equal(code, 0, err)
  assert.match(out, /^limit +good\/s +P50 ms/)
  assert.match(out, /Recommended: concurrency: \{ limit: 20 \}/)
  assert.match(out, /try larger ones/)
  assert.match(err, /sweep 2\/2/)
  const { recommended, limits } = JSON.parse(await readFile(json, 'utf8'))
  assert.deepEqual([recommended, limits.map((one: { limit: number }) => one.limit)], [20, [2, 20]])
  for (const { requests, good, refused, rss, loopDelay } of limits) assert.ok(requests > 900 && good > 10 && refused > 0 && rss > 1e7 && loopDelay >= 0)
  assert.match(await readFile(html, 'utf8'), /recommended.*: 20/)
})

test('compare tells a slower server from the one before, in both directions', async t => {
  const json = join(await temporaryDir(t), 'b.json')
  const common = ['--rate', '100', '--rounds', '6', '--duration', '400ms', '--warm-up', '0', '--json', json]
  const worse = await surge('compare', '--baseline', `DELAY=5 ${SLOW}`, '--candidate', `DELAY=80 ${SLOW}`, ...common)
  assert.match(worse.out, /P95 .* worse/)
  assert.match(worse.out, /Verdict: drop/)
  assert.equal(worse.code, 1)
  const better = await surge('compare', '--baseline', `DELAY=80 ${SLOW}`, '--candidate', `DELAY=5 ${SLOW}`, ...common)
  assert.match(better.out, /Verdict: keep/)
  assert.equal(better.code, 0)
  const { verdict, pairs, comparisons } = JSON.parse(await readFile(json, 'utf8'))
  assert.deepEqual([verdict, pairs.length, comparisons.length], ['keep', 6, 4])
})

test('help, and what is wrong with a command line, with 2', async () => {
  for (const args of [[], ['--help'], ['sweep', '--help'], ['compare', '-h']]) {
    const { code, out } = await surge(...args)
    assert.equal(code, 0)
    assert.match(out, /^fastify-surge /)
  }
  for (const [args, message] of [
    [['swep'], /^There is no command 'swep'\. Known: sweep, compare\.\n$/],
    [['sweep'], /^--limits is missing: --limits 5,10,20,40\nfastify-surge sweep --help tells the options\.\n$/],
    [['sweep', '--server', 'exit 1', '--limits', '1', '--rate', '1', '--html', '/nowhere/a.html'], /^A file cannot be written: ENOENT.*'\/nowhere\/a\.html'\n/],
    [['compare', '--baseline', 'exit 1', '--candidate', 'exit 1', '--rate', '1', '--json', '/nowhere/a.json'], /^A file cannot be written/],
    [['sweep', '--server', 'exit 1', '--limits', '1', '--rate', '1'], /`exit 1` ended before it listened/]
  ] as const) {
    const { code, err } = await surge(...args)
    assert.equal(code, 2)
    assert.match(err.replace(/^sweep 0\/\d+\n/, ''), message)
  }
})
