// What the commands are told on the command line, and what is wrong with it.
import { METHODS } from 'node:http'
import { parseArgs } from 'node:util'
import { parse as milliseconds } from '@lukeed/ms'
import { Failure } from './failure.ts'
import type { Load } from './run.ts'

export interface SweepOptions {
  server: string
  /** Ascending. */
  limits: number[]
  rounds: number
  load: Load
  html: string
  json: string | undefined
}

export interface CompareOptions {
  baseline: string
  candidate: string
  rounds: number
  /** The least change that counts, as a share. */
  threshold: number
  load: Load
  json: string
}

/** What a run holds in memory. */
const MOST_REQUESTS = 5_000_000

const text = { type: 'string' } as const
const LOAD = { path: text, method: text, header: { type: 'string', multiple: true }, body: text, rate: text, duration: text, 'warm-up': text, timeout: text, port: text, metrics: text, rounds: text, json: text } as const

const LOAD_HELP = `  --rate <n>              requests a second, Poisson arrivals (required)
  --path <path>           what is asked                                        [/]
  --method, --body, --header 'name: value' (again and again)
  --duration <time>       that counts, of each run                             [10s]
  --warm-up <time>        before it                                            [3s]
  --timeout <time>        behind which a client gives up                       [1s]
  --port <n>              where the server listens   [a free one, told by PORT]
  --metrics <path>        fastify-surge's, for memory and loop delay      [/metrics]`

export const HELP = `fastify-surge sweep     which limit to choose
fastify-surge compare   whether a change is worth keeping

--help after one of them tells its options. Load goes to 127.0.0.1 only.`

export const SWEEP_HELP = `fastify-surge sweep --server <command> --limits <n,n,…> --rate <n>

Starts the command anew for each limit, told by SURGE_LIMIT, loads it, and tells which limit to choose:

  await app.register(surge, { concurrency: { limit: Number(process.env.SURGE_LIMIT ?? 40) } })
  await app.listen({ port: Number(process.env.PORT ?? 3000) })

  --server <command>      starts the server, by the shell (required)
  --limits <n,n,…>        to be tried (required)
${LOAD_HELP}
  --rounds <n>            runs of each limit; medians are told                 [1]
  --html <file>           the plot                                 [surge-sweep.html]
  --json <file>           the figures                                     [none]`

export const COMPARE_HELP = `fastify-surge compare --baseline <command> --candidate <command> --rate <n>

Runs both in turn (A B B A …) and tells whether the candidate is better, by 95 % bootstrap intervals. Exits with 1 when it is worse.

  --baseline, --candidate <command>   start the servers, by the shell (required)
${LOAD_HELP}
  --rounds <n>            pairs of runs, at least 6                            [8]
  --threshold <percent>   the least change that counts                         [1]
  --json <file>           the figures                             [surge-compare.json]`

/** @throws Failure */
export function readSweep (args: string[]): SweepOptions {
  const given = read(args, { ...LOAD, server: text, limits: text, html: text })
  const limits = required(given, 'limits', '5,10,20,40').split(',').map(limit => integer('limits', limit.trim(), 1, 1_000_000))
  return {
    server: required(given, 'server', "'node server.js'"),
    limits: [...new Set(limits)].sort((a, b) => a - b),
    rounds: integer('rounds', given.rounds ?? '1', 1, 1_000),
    load: readLoad(given),
    html: given.html ?? 'surge-sweep.html',
    json: given.json
  }
}

/** @throws Failure */
export function readCompare (args: string[]): CompareOptions {
  const given = read(args, { ...LOAD, baseline: text, candidate: text, threshold: text })
  return {
    baseline: required(given, 'baseline', "'node server.js'"),
    candidate: required(given, 'candidate', "'NEW=1 node server.js'"),
    rounds: integer('rounds', given.rounds ?? '8', 6, 1_000),
    threshold: number('threshold', given.threshold ?? '1', 0, 100) / 100,
    load: readLoad(given),
    json: given.json ?? 'surge-compare.json'
  }
}

type Given = Partial<Record<string, string>> & { header?: string[] }

function read (args: string[], options: object): Given {
  try {
    return parseArgs({ args, options: options as any, strict: true, allowPositionals: false }).values as Given
  } catch (err) {
    throw new Failure((err as Error).message)
  }
}

function readLoad (given: Given): Load {
  const rate = number('rate', required(given, 'rate', '500'), 0.1, 100_000)
  const duration = time('duration', given.duration ?? '10s', 100)
  const warmUp = time('warm-up', given['warm-up'] ?? '3s', 0)
  if (rate * (warmUp + duration) / 1_000 > MOST_REQUESTS) throw new Failure(`${rate} requests a second for ${(warmUp + duration) / 1_000} s are more than the ${MOST_REQUESTS} that a run may have.`)
  return {
    target: readTarget(given),
    rate,
    duration,
    warmUp,
    timeout: time('timeout', given.timeout ?? '1s', 1),
    port: given.port === undefined ? 0 : integer('port', given.port, 1, 65_535),
    metrics: path('metrics', given.metrics ?? '/metrics')
  }
}

function readTarget ({ path: given = '/', method, body, header = [] }: Given): Load['target'] {
  if (method !== undefined && !METHODS.includes(method.toUpperCase())) throw wrong('method', 'one of HTTP', method)
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of header.map(readHeader)) headers[name] = headers[name] === undefined ? value : [headers[name], value].flat()
  // Node would send the body of a GET or DELETE without one, and it would be taken for the next request.
  if (body !== undefined && !Object.keys(headers).some(name => /^(content-length|transfer-encoding)$/i.test(name))) headers['content-length'] = String(Buffer.byteLength(body))
  return { path: path('path', given), headers, ...(method !== undefined && { method: method.toUpperCase() }), ...(body !== undefined && { body }) }
}

function readHeader (header: string): [name: string, value: string] {
  const colon = header.indexOf(':')
  if (colon < 1) throw wrong('header', "'name: value'", header)
  return [header.slice(0, colon).trim(), header.slice(colon + 1).trim()]
}

function path (name: string, value: string): string {
  if (!value.startsWith('/')) throw wrong(name, "a path that begins with '/'", value)
  return value
}

function required (given: Given, name: string, example: string): string {
  const value = given[name]
  if (value === undefined || value === '') throw new Failure(`--${name} is missing: --${name} ${example}`)
  return value as string
}

function integer (name: string, value: string, min: number, max: number): number {
  return number(name, value, min, max, true)
}

function number (name: string, value: string, min: number, max: number, whole = false): number {
  const read = Number(value)
  if (value.trim() === '' || !(read >= min && read <= max) || (whole && !Number.isInteger(read))) throw wrong(name, `${whole ? 'an integer' : 'a number'} from ${min} to ${max}`, value)
  return read
}

function time (name: string, value: string, min: number): number {
  const read = value.trim() === '0' ? 0 : milliseconds(value)
  if (read === undefined || !(read >= min && read <= 3_600_000)) throw wrong(name, `a time from ${min}ms to 1h, such as 500ms or 10s`, value)
  return read
}

function wrong (name: string, expected: string, got: string): Failure {
  return new Failure(`Expected --${name} to be ${expected}, got '${got}'`)
}
