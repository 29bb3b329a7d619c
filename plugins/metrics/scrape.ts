// The text of a scrape, kept for a second: several scrapers, or one that is out of hand, cost one collection of it.
import type { Family } from '../shared/instruments.ts'
import { writeText, type Format } from './prometheus-text.ts'

const CACHED_MS = 1_000

export class Scrape {
  readonly #collect: () => readonly Family[]
  readonly #written = new Map<Format, { text: string, at: number }>()

  constructor (collect: () => readonly Family[]) {
    this.#collect = collect
  }

  /** @param now milliseconds of any clock that does not go back */
  text (format: Format, now: number): string {
    const known = this.#written.get(format)
    if (known !== undefined && now - known.at < CACHED_MS) return known.text
    const text = writeText(this.#collect(), format)
    this.#written.set(format, { text, at: now })
    return text
  }
}
