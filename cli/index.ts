#!/usr/bin/env node
// The command line: `fastify-surge sweep` finds a limit by load, `fastify-surge compare` tells whether a change helps.
import { compare } from './compare.ts'
import { Failure } from './failure.ts'
import { COMPARE_HELP, HELP, readCompare, readSweep, SWEEP_HELP } from './options.ts'
import { killAll } from './server-process.ts'
import { sweep } from './sweep.ts'

const [command, ...args] = process.argv.slice(2)
const asksForHelp = args.includes('--help') || args.includes('-h')

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) {
  process.once(signal, () => {
    killAll()
    process.exit(code)
  })
}

try {
  if (command === 'sweep' && asksForHelp) console.log(SWEEP_HELP)
  else if (command === 'compare' && asksForHelp) console.log(COMPARE_HELP)
  else if (command === 'sweep') console.log(await sweep(readSweep(args)))
  else if (command === 'compare') {
    const { report, verdict } = await compare(readCompare(args))
    console.log(report)
    process.exitCode = verdict === 'drop' ? 1 : 0
  } else if (command === undefined || command === '--help' || command === '-h' || command === 'help') console.log(HELP)
  else throw new Failure(`There is no command '${command}'. Known: sweep, compare.`)
} catch (err) {
  if (!(err instanceof Failure)) throw err
  console.error(err.message)
  if (command === 'sweep' || command === 'compare') console.error(`fastify-surge ${command} --help tells the options.`)
  process.exitCode = 2
} finally {
  killAll()
}
