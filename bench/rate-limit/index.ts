// Rate limiters against each other: whole-process CPU time a hello-world request, bursts of all of them in turn, and the
// memory that a million clients take.
//
//   npm run bench:rate-limit [-- --quick | --memory]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { alternate } from '../support/alternating.ts'
import { median, quartiles } from '../support/statistics.ts'
import { storeNames } from './memory.ts'
import { variants } from './variants.ts'

const quick = process.argv.includes('--quick')

async function cpu (): Promise<void> {
  const rounds = quick ? 5 : 21
  const requests = quick ? 2_000 : 4_000
  const contenders = await alternate({
    server: new URL('server.ts', import.meta.url),
    variants: Object.keys(variants),
    request: 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n',
    connections: 20,
    warmUp: 12_000,
    rounds,
    requests
  })
  const bare = contenders[0]!
  const official = contenders[1]!
  console.log('| CPU a request | to bare Fastify | middle half | to @fastify/rate-limit |')
  console.log('|---|---|---|---|')
  for (const contender of contenders) {
    const toBare = contender.to(bare)
    const [low, high] = quartiles(toBare)
    console.log(`| ${contender.name} | ${median(toBare).toFixed(2)} | ${low.toFixed(2)}–${high.toFixed(2)} | ${median(contender.to(official)).toFixed(2)} |`)
  }
  console.log(`\nMedians of ${rounds} rounds of ${requests} requests. Node ${process.version}. Bare Fastify: ${bare.median.toFixed(1)} µs.\n`)
}

async function memory (): Promise<void> {
  console.log('| a million clients | memory | the client past its quota before them |')
  console.log('|---|---|---|')
  for (const name of storeNames) {
    const child = fork(new URL('memory.ts', import.meta.url), [name], { execArgv: ['--import', 'tsx', '--expose-gc'] })
    const [{ mebibytes, stillRefused }] = await once(child, 'message') as [{ mebibytes: number, stillRefused: boolean }]
    console.log(`| ${name} | ${mebibytes.toFixed(1)} MiB | ${stillRefused ? 'is still refused' : 'is admitted again'} |`)
  }
}

if (!process.argv.includes('--memory')) await cpu()
await memory()
