import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Failure } from '../../cli/failure.ts'
import { readCompare, readSweep } from '../../cli/options.ts'

const SWEEP = ['--server', 'node s.js', '--limits', '40,5, 10,5', '--rate', '500']
const COMPARE = ['--baseline', 'a', '--candidate', 'b', '--rate', '500']

test('what a sweep is told, and the defaults of the rest', () => {
  assert.deepEqual(readSweep(SWEEP), {
    server: 'node s.js',
    limits: [5, 10, 40],
    rounds: 1,
    load: { target: { path: '/', headers: {} }, rate: 500, duration: 10_000, warmUp: 3_000, timeout: 1_000, port: 0, metrics: '/metrics' },
    html: 'surge-sweep.html',
    json: undefined
  })
  const { load } = readSweep([...SWEEP, '--path', '/a', '--method', 'post', '--body', '{}', '--header', 'X-A: 1:2', '--header', 'x-b:', '--header', 'x-b: 2', '--duration', '500ms', '--warm-up', '0', '--timeout', '2s', '--port', '3000', '--metrics', '/m'])
  assert.deepEqual(load, { target: { path: '/a', method: 'POST', body: '{}', headers: { 'X-A': '1:2', 'x-b': ['', '2'], 'content-length': '2' } }, rate: 500, duration: 500, warmUp: 0, timeout: 2_000, port: 3_000, metrics: '/m' })
})

test('a body says how long it is, unless its user says so', () => {
  const headers = (...args: string[]): object | undefined => readSweep([...SWEEP, '--body', 'é', ...args]).load.target.headers
  assert.deepEqual(headers(), { 'content-length': '2' })
  assert.deepEqual(headers('--header', 'Transfer-Encoding: chunked'), { 'Transfer-Encoding': 'chunked' })
})

test('what a comparison is told', () => {
  const { baseline, candidate, rounds, threshold, json } = readCompare(COMPARE)
  assert.deepEqual([baseline, candidate, rounds, threshold, json], ['a', 'b', 8, 0.01, 'surge-compare.json'])
  assert.equal(readCompare([...COMPARE, '--threshold', '2.5']).threshold, 0.025)
})

test('what cannot be used is told with what was expected', () => {
  const bad: Array<[args: string[], message: RegExp]> = [
    [[], /^--limits is missing: --limits 5,10,20,40$/],
    [['--limits', '5'], /^--server is missing/],
    [['--limits', '5', '--server', 's'], /^--rate is missing: --rate 500$/],
    [[...SWEEP, '--limits', '5,x'], /^Expected --limits to be an integer from 1 to 1000000, got 'x'$/],
    [[...SWEEP, '--limits', '5,,6'], /^Expected --limits to be .*, got ''$/],
    [[...SWEEP, '--limits', '1.5'], /^Expected --limits to be an integer from 1 to 1000000, got '1\.5'$/],
    [[...SWEEP, '--rate', '0'], /^Expected --rate to be a number from 0\.1 to 100000, got '0'$/],
    [[...SWEEP, '--rate', 'fast'], /^Expected --rate to be a number/],
    [[...SWEEP, '--duration', 'long'], /^Expected --duration to be a time from 100ms to 1h, such as 500ms or 10s, got 'long'$/],
    [[...SWEEP, '--timeout', '2h'], /^Expected --timeout to be a time/],
    [[...SWEEP, '--path', 'orders'], /^Expected --path to be a path that begins with '\/', got 'orders'$/],
    [[...SWEEP, '--header', 'nothing'], /^Expected --header to be 'name: value', got 'nothing'$/],
    [[...SWEEP, '--port', '70000'], /^Expected --port to be an integer from 1 to 65535, got '70000'$/],
    [[...SWEEP, '--method', 'FETCH'], /^Expected --method to be one of HTTP, got 'FETCH'$/],
    [[...SWEEP, '--method', ''], /^Expected --method/],
    [[...SWEEP, '--metrics', 'm'], /^Expected --metrics to be a path/],
    [[...SWEEP, '--rate', '100000', '--duration', '30m'], /^100000 requests a second for 1803 s are more than the 5000000 that a run may have\.$/],
    [[...SWEEP, '--frobnicate'], /Unknown option '--frobnicate'/],
    [[...SWEEP, 'stray'], /stray/]
  ]
  for (const [args, message] of bad) assert.throws(() => readSweep(args), (err: unknown) => err instanceof Failure && message.test(err.message), args.join(' '))
  assert.throws(() => readCompare([...COMPARE, '--rounds', '5']), { message: "Expected --rounds to be an integer from 6 to 1000, got '5'" })
  assert.throws(() => readCompare(['--rate', '5']), { message: "--baseline is missing: --baseline 'node server.js'" })
})
