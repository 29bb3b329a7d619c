#!/usr/bin/env node
// The command line: `fastify-surge sweep` finds a limit by load, `fastify-surge compare` tells whether a change helps.
import { compare } from './compare.ts'
import { Failure } from './failure.ts'
import { COMPARE_HELP, HELP, readCompare, readSweep, SWEEP_HELP } from './options.ts'
import { write, type Report } from './report.ts'
import { killAll } from './server-process.ts'
import { sweep } from './sweep.ts'

const [command, ...args] = process.argv.slice(2)
const asksForHelp = args.includes('--help') || args.includes('-h')

// However it ends, no server stays behind.
process.on('exit', killAll)
for (const [signal, code] of [['SIGHUP', 129], ['SIGINT', 130], ['SIGQUIT', 131], ['SIGTERM', 143]] as const) process.once(signal, () => process.exit(code))
process.on('uncaughtException', fail)

async function perform (): Promise<Report> {
  switch (command) {
    case 'sweep': return asksForHelp ? help(SWEEP_HELP) : await sweep(readSweep(args))
    case 'compare': return asksForHelp ? help(COMPARE_HELP) : await compare(readCompare(args))
    case undefined: case 'help': case '--help': case '-h': return help(HELP)
    default: throw new Failure(`There is no command '${command}'. Known: sweep, compare.`)
  }
}

function help (text: string): Report {
  return { text, files: [], code: 0 }
}

function fail (err: unknown): never {
  // Behind the progress bar.
  if (process.stderr.isTTY) console.error()
  console.error(err instanceof Failure ? err.message : err)
  if (err instanceof Failure && (command === 'sweep' || command === 'compare')) console.error(`fastify-surge ${command} --help tells the options.`)
  process.exit(2)
}

try {
  const report = await perform()
  console.log(report.text)
  await write(report)
  process.exitCode = report.code
} catch (err) {
  fail(err)
}
