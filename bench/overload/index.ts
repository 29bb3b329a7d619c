// How the gate holds up past the limit: open-loop traffic against alternating variants, a table, a plot, and what was
// wanted beside what was measured. Figures, not a test: it never fails.
//
//   node --import tsx bench/overload/index.ts [--quick] [--only name,name] [--rounds n] [--out report.html]
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pinning } from '../support/pinned.ts'
import { Generator } from './contest.ts'
import { plot } from './plot.ts'
import { table, type Curve, type Verdict } from './scenario.ts'
import { scenarios } from './scenarios/index.ts'

const { values: { quick, only, rounds, out } } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    out: { type: 'string', default: join(tmpdir(), 'fastify-surge-overload.html') }
  }
})
const chosen = only === undefined ? Object.keys(scenarios) : only.split(',')
const unknown = chosen.filter(name => !(name in scenarios))
if (unknown.length > 0) throw new Error(`no scenario ${unknown.join(', ')}; there are ${Object.keys(scenarios).join(', ')}`)

const began = performance.now()
const generator = await Generator.start()
const setting = { generator, quick, rounds: Number(rounds ?? (quick ? 1 : 5)) }
const judged: Array<Verdict & { scenario: string }> = []
let curves: Curve[] | undefined

for (const name of chosen) {
  console.log(`\n## ${name}\n`)
  try {
    const findings = await scenarios[name]!(setting)
    console.log(findings.tables.join('\n\n'))
    judged.push(...findings.verdicts.map(verdict => ({ scenario: name, ...verdict })))
    curves ??= findings.curves
  } catch (error) {
    // One server that died must not cost the report of all others.
    console.log(`Failed: ${(error as Error).message}`)
    judged.push({ scenario: name, target: 'it runs', measured: (error as Error).message, pass: false })
  }
}
generator.end()

const summary = judged.map(({ scenario, target, measured, pass }) => [scenario, target, measured, pass === undefined ? '–' : pass ? 'pass' : '**fail**'])
console.log(`\n## Wanted and measured\n\n${table(['scenario', 'wanted', 'measured', ''], summary)}`)
console.log(`\nMedians of up to ${setting.rounds} alternating rounds. Node ${process.version}, ${pinning ? 'server and generator each on a core of its own' : 'nothing pinned'}, ${Math.round((performance.now() - began) / 1000)} s.`)
if (curves !== undefined) {
  writeFileSync(out, plot(curves, summary))
  console.log(`Plot: ${out}`)
}
