// What a scenario is given and what it hands back, and how its figures are written.
import { median } from '../../cli/statistics.ts'
import type { Generator, Readings } from './contest.ts'
import { titles, type VariantName } from './variants.ts'

export interface Setting {
  generator: Generator
  quick: boolean
  /** Alternating rounds of the short scenarios; the long ones take three at most. */
  rounds: number
}

export interface Verdict {
  /** What was wanted, of whom. */
  target: string
  measured: string
  /** undefined: it could not be judged. */
  pass: boolean | undefined
}

/** One line of the plot. */
export interface Curve {
  variant: VariantName
  /** Requests offered a second, and the good replies a second of each round. */
  points: Array<{ offered: number, good: number[] }>
}

export interface Findings {
  /** Markdown. */
  tables: string[]
  verdicts: Verdict[]
  curves?: Curve[]
}

export type Scenario = (setting: Setting) => Promise<Findings>

export function table (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  return [head, head.map(() => '---'), ...rows].map(row => `| ${row.join(' | ')} |`).join('\n')
}

export function middle (values: readonly number[]): number {
  return values.length === 0 ? NaN : median(values)
}

export function number (value: number, digits = 0): string {
  if (Number.isNaN(value)) return '–'
  return value === Infinity ? '∞' : value.toFixed(digits)
}

export function percent (share: number, digits = 1): string {
  return Number.isNaN(share) ? '–' : `${(share * 100).toFixed(digits)} %`
}

export function ms (value: number): string {
  if (value === Infinity) return 'never'
  return Number.isNaN(value) ? '–' : `${value.toFixed(0)} ms`
}

/** Judged only when there is something to judge. */
export function verdict (target: string, measured: string, values: readonly number[], passes: (...values: number[]) => boolean): Verdict {
  return { target, measured, pass: values.some(Number.isNaN) ? undefined : passes(...values) }
}

/** One verdict a variant; those that did not take part are skipped, and say why. */
export function verdicts (readings: Readings<any, any>, variants: readonly VariantName[], judge: (variant: VariantName, title: string) => Verdict | Verdict[]): Verdict[] {
  return variants.flatMap(variant => {
    const absent = readings.absent.get(variant)
    return absent === undefined ? judge(variant, titles[variant]) : { target: titles[variant], measured: `skipped: ${absent}`, pass: undefined }
  })
}

/** Says how many runs did not count, if any. */
export function voids ({ voids }: Readings<any, any>): string[] {
  return voids === 0 ? [] : [`${voids} void runs (less than 99 % of the arrivals was offered in time) were left out.`]
}
