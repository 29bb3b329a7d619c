// Debian's slowhttptest against the example: slow headers, slow bodies, slow reads and overlapping ranges, with a probe
// beside each, as the tool itself judges.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { request, startServer } from './client.ts'
import { temporaryDir } from '../support/temporary-dir.ts'

const missing = spawnSync('slowhttptest', ['-h']).error !== undefined
const skip = missing && process.env.SURGE_REQUIRE_SERVICES !== '1' && 'needs slowhttptest: apt-get install slowhttptest'

/** 150 connections within a second, for six seconds. */
const COMMON = ['-c', '150', '-r', '200', '-l', '6', '-i', '2', '-p', '3', '-v', '1']
const ATTACKS: Array<[name: string, args: string[], path: string]> = [
  ['-H: slow headers', ['-H'], '/products'],
  ['-B: slow bodies', ['-B', '-s', '8192'], '/products/import'],
  ['-X: slow reads', ['-X', '-w', '1', '-y', '64', '-n', '1', '-z', '5', '-k', '3'], '/products'],
  ['-R: overlapping ranges', ['-R', '-a', '1', '-b', '3000'], '/products']
]

for (const [name, args, path] of ATTACKS) {
  test(`slowhttptest ${name}: the service stays available`, { skip }, async t => {
    const { port } = await startServer(t, { PORT: '0', DATA_DIR: await temporaryDir(t), REQUESTS_PER_MINUTE: '100000' })
    const attack = spawn('slowhttptest', [...args, ...COMMON, '-u', `http://127.0.0.1:${port}${path}`])
    let report = ''
    attack.stdout.on('data', data => { report += data })
    attack.stderr.on('data', data => { report += data })
    const ended = new Promise<void>(resolve => attack.once('close', () => resolve()))
    const statuses = new Set<number>()
    while (attack.exitCode === null) {
      statuses.add((await request(port, '/livez')).status)
      await Promise.race([ended, new Promise(resolve => setTimeout(resolve, 250))])
    }
    assert.deepEqual([...statuses], [200])
    // Coloured, one report a second; none may say NO.
    // eslint-disable-next-line no-control-regex
    const plain = report.replace(/\u001b\[[0-9;]*[A-Za-z]/g, '')
    assert.match(plain, /service available:\s*YES/, plain)
    assert.doesNotMatch(plain, /service available:\s*NO/)
  })
}
