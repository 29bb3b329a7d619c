// Rate limiters against each other: whole-process CPU time a hello-world request, bursts of all of them in turn, over
// connections in memory (--code: nothing else) and over real sockets, and the memory that a million clients take.
// --store: how long requests wait for a Redis that fails.
//
//   npm run bench:rate-limit [-- --quick | --code | --memory | --store]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { alternate } from '../support/alternating.ts'
import { median, quartiles } from '../support/statistics.ts'
import { storeNames } from './memory.ts'
import { store } from './store.ts'
import { variants } from './variants.ts'

const quick = process.argv.includes('--quick')

async function cpu (inMemory: boolean): Promise<void> {
  const rounds = quick ? 5 : inMemory ? 81 : 15
  const requests = inMemory ? 2_000 : quick ? 2_000 : 4_000
  const contenders = await alternate({
    server: new URL('server.ts', import.meta.url),
    variants: Object.keys(variants),
    request: 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n',
    connections: 20,
    warmUp: inMemory ? 40_000 : 12_000,
    rounds,
    requests,
    inMemory
  })
  const bare = contenders[0]!
  const official = contenders[1]!
  console.log(`| CPU a request, ${inMemory ? 'connections in memory' : 'real sockets'} | to bare Fastify | middle half | to @fastify/rate-limit |`)
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

if (process.argv.includes('--memory')) await memory()
else if (process.argv.includes('--store')) await store()
else {
  await cpu(true)
  if (!process.argv.includes('--code')) {
    await cpu(false)
    await memory()
  }
}
