// Rate limiters against each other: whole-process CPU time a hello-world request, bursts of all of them in turn, over
// connections in memory (--code: nothing else) and over real sockets, and the memory that a million clients take.
// --store: how long requests wait for a Redis that fails.
//
//   npm run bench:rate-limit [-- --quick | --code | --memory | --store]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { compareHello } from '../support/alternating.ts'
import { median, middleHalf } from '../../cli/statistics.ts'
import { storeNames } from './memory.ts'
import { store } from './store.ts'
import { variants } from './variants.ts'

const quick = process.argv.includes('--quick')

async function cpu (inMemory: boolean): Promise<void> {
  const names = Object.keys(variants)
  const [bare, official] = names as [string, string]
  await compareHello({
    server: new URL('server.ts', import.meta.url),
    variants: names,
    rounds: quick ? 5 : inMemory ? 81 : 15,
    requests: quick || inMemory ? 2_000 : 4_000,
    inMemory
  }, ['to bare Fastify', 'middle half', 'to @fastify/rate-limit'], (contender, named) => {
    const toBare = contender.to(named(bare))
    return [median(toBare).toFixed(2), middleHalf(toBare), median(contender.to(named(official))).toFixed(2)]
  })
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
