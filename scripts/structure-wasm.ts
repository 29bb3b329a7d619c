// Assembles the vectorised scan of plugins/json-stream/structure.ts: its text in WebAssembly's own format, and the module made of it.
//   node --import tsx scripts/structure-wasm.ts      writes plugins/json-stream/structure-wasm.ts
import { writeFile } from 'node:fs/promises'
import wabt from 'wabt'

/** Where things lie: room for a look back, the window, the last block's padding, the state. Fields by index; all as structure-simd.ts has it. */
const WINDOW = 64
const STATE = WINDOW + 131_072 + 64
const fields = ['depth', 'inString', 'escaped', 'start', 'comma', 'event', 'at', 'seen', 'maxDepth', 'maxElementBytes'] as const
const CLOSED = 1
const TOO_DEEP = 2
const TOO_LARGE = 3
const STRAY = 4
const NOT_ASCII = 1
const SUSPECT = 2

const get = (name: string) => `(local.get $${name})`
const set = (name: string, value: string) => `(local.set $${name} ${value})`
const load = (field: typeof fields[number]) => `(i32.load offset=${STATE + 4 * fields.indexOf(field)} (i32.const 0))`
const store = (field: typeof fields[number], value: string) => `(i32.store offset=${STATE + 4 * fields.indexOf(field)} (i32.const 0) ${value})`
const not = (value: string) => `(i64.xor ${value} (i64.const -1))`
const lowest = (value: string) => `(i64.and ${value} (i64.sub (i64.const 0) ${value}))`
const count = (mask: string) => `(i32.wrap_i64 (i64.popcnt ${mask}))`
const place = (mask: string) => `(i32.add ${get('block')} (i32.wrap_i64 (i64.ctz ${mask})))`
const end = (event: number) => `${set('event', `(i32.const ${event})`)} ${set('at', `(i32.add ${get('position')} (i32.const 1))`)} (br $out)`

const four = [0, 1, 2, 3]
/** Bytes that are looked for, each in a vector of its own: V8 would make one anew for every comparison. */
const sought = [0x20, 0x22, 0x2c, 0x5c, 0x75, 0x7b, 0x7d]
const same = (vector: string, byte: number) => `(i8x16.eq ${get(vector)} ${get(`x${byte}`)})`
/** Four vectors in one. */
const either = (vector: (at: number) => string) => `(v128.or (v128.or ${vector(0)} ${vector(1)}) (v128.or ${vector(2)} ${vector(3)}))`

/** A bit a byte of the block's 64: whether it equals `byte`, in vectors by that name. */
function equal (vectors: string, byte: number): string {
  const part = (at: number) => `(i64.shl (i64.extend_i32_u (i8x16.bitmask ${same(`${vectors}${at}`, byte)})) (i64.const ${16 * at}))`
  return `(i64.or (i64.or ${part(0)} ${part(1)}) (i64.or ${part(2)} ${part(3)}))`
}

/** Strings that are `length` bytes long, by their closing quotes. */
const ofLength = (length: number) => `(i64.or (i64.shl ${get('openQuotes')} (i64.const ${length + 1})) (i64.shr_u ${get('quotesBefore')} (i64.const ${63 - length})))`
/** Whether the string before the quote at $position, of the length of `name`, begins as it does. */
function begins (name: string): string {
  return `(i64.eq (i64.load (i32.sub ${get('position')} (i32.const ${name.length}))) (i64.const ${Buffer.from(name).readBigInt64LE()}))`
}

/** What both functions begin with: constants, strings and escapes as they were, and of each block what is code and what are strings. */
const locals = `${four.map(at => `(local $v${at} v128) (local $w${at} v128)`).join(' ')} ${sought.map(byte => `(local $x${byte} v128)`).join(' ')}
    (local $string i64) (local $carry i64) (local $backslashes i64) (local $escaped i64) (local $quotes i64) (local $code i64)
    (local $opening i64) (local $closing i64) (local $left i64) (local $bit i64)`

const resume = `;; Nothing of what lay there before is to be seen behind the input.
    ${four.map(at => `(v128.store offset=${16 * at} ${get('to')} ${get('v0')})`).join(' ')}
    ${set('string', `(i64.extend_i32_s ${load('inString')})`)}
    ${set('carry', `(i64.extend_i32_u ${load('escaped')})`)}
    ${set('depth', load('depth'))}
    ${sought.map(byte => set(`x${byte}`, `(i8x16.splat (i32.const ${byte}))`)).join(' ')}`

const suspend = `${store('inString', `(i32.wrap_i64 ${get('string')})`)}
    ${store('escaped', `(i32.wrap_i64 ${get('carry')})`)}
    ${store('depth', get('depth'))}`

/** @param onEscapes is done in blocks with escapes only */
const readBlock = (onEscapes = '') => `${four.map(at => set(`v${at}`, `(v128.load offset=${16 * at} ${get('block')})`)).join(' ')}
        ;; [ and { differ in one bit, and so do ] and }.
        ${four.map(at => set(`w${at}`, `(v128.or ${get(`v${at}`)} ${get(`x${0x20}`)})`)).join(' ')}

        ;; Which bytes an odd run of backslashes precedes: Langdale and Lemire, Parsing Gigabytes of JSON per Second, 3.1.1.
        (if (i32.or (v128.any_true ${either(at => same(`v${at}`, 0x5c))}) (i32.wrap_i64 ${get('carry')}))
          (then
            ${set('backslashes', equal('v', 0x5c))}
            ${set('code', `(i64.and ${get('backslashes')} ${not(get('carry'))})`)}
            ${set('code', `(i64.xor (i64.sub (i64.or (i64.shl ${get('code')} (i64.const 1)) (i64.const 0xaaaaaaaaaaaaaaaa)) ${get('code')}) (i64.const 0xaaaaaaaaaaaaaaaa))`)}
            ${set('escaped', `(i64.xor ${get('code')} (i64.or ${get('backslashes')} ${get('carry')}))`)}
            ;; The last byte that is there, not the last of the block: what follows it is padding.
            ${set('carry', `(i64.and (i64.const 1) (i64.shr_u (i64.and ${get('code')} ${get('backslashes')})
              (i64.extend_i32_u (select (i32.const 63) (i32.sub (i32.sub ${get('to')} ${get('block')}) (i32.const 1)) (i32.ge_u (i32.sub ${get('to')} ${get('block')}) (i32.const 64))))))`)}
            ${onEscapes})
          (else
            ${set('backslashes', '(i64.const 0)')}
            ${set('escaped', '(i64.const 0)')}))

        ;; In a string from each quote to the next: the exclusive-or of all bits below.
        ${set('quotes', `(i64.and ${equal('v', 0x22)} ${not(get('escaped'))})`)}
        ${set('code', get('quotes'))}
        (if (i64.ne ${get('code')} (i64.const 0)) (then
          ${[1, 2, 4, 8, 16, 32].map(by => set('code', `(i64.xor ${get('code')} (i64.shl ${get('code')} (i64.const ${by})))`)).join(' ')}))
        ${set('code', `(i64.xor ${get('code')} ${get('string')})`)}
        ${set('string', `(i64.shr_s ${get('code')} (i64.const 63))`)}
        ${set('code', not(get('code')))}
        ${set('opening', `(i64.and ${get('code')} ${equal('w', 0x7b)})`)}
        ${set('closing', `(i64.and ${get('code')} ${equal('w', 0x7d)})`)}`

export const source = `(module
  (memory (export "memory") 3)

  ;; Makes bytes of the 16-bit units in the window. What is no byte becomes 0xff or, from 0x8000 on, 0.
  (func (export "narrow") (param $units i32)
    (local $unit i32)
    (loop $next
      (v128.store offset=${WINDOW} ${get('unit')} (i8x16.narrow_i16x8_u
        (v128.load offset=${WINDOW} (i32.shl ${get('unit')} (i32.const 1)))
        (v128.load offset=${WINDOW + 16} (i32.shl ${get('unit')} (i32.const 1)))))
      ${set('unit', `(i32.add ${get('unit')} (i32.const 16))`)}
      (br_if $next (i32.lt_u ${get('unit')} ${get('units')}))))

  ;; The address of the bracket in [block, to) that opens one level too many, or 0.
  (func (export "deep") (param $block i32) (param $to i32) (param $maxDepth i32) (result i32)
    (local $depth i32)
    ${locals}
    ${resume}
    (loop $blocks
      (if (i32.lt_u ${get('block')} ${get('to')}) (then
        ${readBlock()}
        (block $next
          (if (i32.le_s (i32.add ${get('depth')} ${count(get('opening'))}) ${get('maxDepth')}) (then
            ${set('depth', `(i32.sub (i32.add ${get('depth')} ${count(get('opening'))}) ${count(get('closing'))})`)}
            (br $next)))
          (loop $marks
            ${set('left', `(i64.or ${get('opening')} ${get('closing')})`)}
            (br_if $next (i64.eqz ${get('left')}))
            ${set('bit', lowest(get('left')))}
            (if (i64.eqz (i64.and ${get('bit')} ${get('opening')}))
              (then ${set('depth', `(i32.sub ${get('depth')} (i32.const 1))`)})
              (else
                ${set('depth', `(i32.add ${get('depth')} (i32.const 1))`)}
                (if (i32.gt_s ${get('depth')} ${get('maxDepth')}) (then (return ${place(get('left'))})))))
            ${['opening', 'closing'].map(name => set(name, `(i64.and ${get(name)} ${not(get('bit'))})`)).join(' ')}
            (br $marks)))
        ${set('block', `(i32.add ${get('block')} (i32.const 64))`)}
        (br $blocks))))
    ${suspend}
    (i32.const 0))

  ;; Scans the bytes at [block, to); positions are addresses less delta.
  (func (export "scan") (param $block i32) (param $to i32) (param $delta i32)
    (local $depth i32) (local $start i32) (local $comma i32) (local $event i32) (local $at i32)
    (local $maxDepth i32) (local $maxElementBytes i32) (local $position i32) (local $seen i32)
    ${locals} (local $all v128)
    (local $openQuotes i64) (local $quotesBefore i64) (local $unicode i64) (local $commas i64) (local $stray i64)
    ${resume}
    ${(['start', 'comma', 'maxDepth', 'maxElementBytes'] as const).map(field => set(field, load(field))).join(' ')}
    ;; Unknown is what came before: whatever could begin there is looked at.
    ${set('quotesBefore', '(i64.const -1)')}
    (block $out
      (loop $blocks
        (if (i32.ge_u ${get('block')} ${get('to')}) (then
          ${set('at', `(i32.sub ${get('to')} ${get('delta')})`)}
          (br $out)))
        ${readBlock(set('unicode', `(i64.or ${get('unicode')} (i64.and ${get('escaped')} ${equal('v', 0x75)}))`))}
        ${set('all', `(v128.or ${get('all')} ${either(at => get(`v${at}`))})`)}

        ;; __proto__ and constructor, which are told by the first eight bytes of strings as long as they are.
        ${set('openQuotes', `(i64.and ${get('quotes')} ${not(get('code'))})`)}
        ${set('left', `(i64.and (i64.and ${get('quotes')} ${get('code')}) (i64.or ${ofLength('__proto__'.length)} ${ofLength('constructor'.length)}))`)}
        ${set('quotesBefore', get('openQuotes'))}
        (block $named
          (loop $names
            (br_if $named (i64.eqz ${get('left')}))
            ${set('position', place(get('left')))}
            (if (i32.or ${begins('__proto__')} ${begins('constructor')}) (then ${set('seen', `(i32.const ${SUSPECT})`)}))
            ${set('left', `(i64.and ${get('left')} (i64.sub ${get('left')} (i64.const 1)))`)}
            (br $names)))

        ${set('stray', `(i64.and ${get('code')} ${get('backslashes')})`)}
        (block $next
          ;; Nearly always a block neither comes near the elements' level nor the limit, and then only how much deeper it ends counts.
          ${set('position', `(i32.sub ${get('depth')} ${count(get('closing'))})`)}
          (if (i32.and (i32.and (i32.gt_s ${get('position')} (i32.const 1)) (i64.eqz ${get('stray')}))
              (i32.le_s (i32.add ${get('depth')} ${count(get('opening'))}) ${get('maxDepth')})) (then
            ${set('depth', `(i32.add ${get('position')} ${count(get('opening'))})`)}
            (br $next)))

          ${set('commas', `(i64.and ${get('code')} ${equal('v', 0x2c)})`)}
          (if (i64.ne ${get('stray')} (i64.const 0)) (then
            ${set('left', `(i64.sub ${lowest(get('stray'))} (i64.const 1))`)}
            ${['opening', 'closing', 'commas'].map(name => set(name, `(i64.and ${get(name)} ${get('left')})`)).join(' ')}))
          (block $marked
            (loop $marks
              ${set('left', `(i64.or ${get('opening')} ${get('closing')})`)}
              (if (i32.eq ${get('depth')} (i32.const 1)) (then ${set('left', `(i64.or ${get('left')} ${get('commas')})`)}))
              (br_if $marked (i64.eqz ${get('left')}))
              ${set('bit', lowest(get('left')))}
              ${set('position', `(i32.sub ${place(get('left'))} ${get('delta')})`)}
              (if (i64.ne (i64.and ${get('bit')} ${get('opening')}) (i64.const 0))
                (then
                  ${set('depth', `(i32.add ${get('depth')} (i32.const 1))`)}
                  (if (i32.gt_s ${get('depth')} ${get('maxDepth')}) (then ${end(TOO_DEEP)})))
                (else (if (i64.ne (i64.and ${get('bit')} ${get('closing')}) (i64.const 0))
                  (then
                    ${set('depth', `(i32.sub ${get('depth')} (i32.const 1))`)}
                    (if (i32.eqz ${get('depth')}) (then ${end(CLOSED)})))
                  (else
                    (if (i32.gt_s (i32.sub ${get('position')} ${get('start')}) ${get('maxElementBytes')}) (then ${end(TOO_LARGE)}))
                    ${set('comma', get('position'))}
                    ${set('start', `(i32.add ${get('position')} (i32.const 1))`)}))))
              ;; All that lies above this bit.
              ${set('bit', `(i64.sub (i64.const 0) (i64.shl ${get('bit')} (i64.const 1)))`)}
              ${['opening', 'closing', 'commas'].map(name => set(name, `(i64.and ${get(name)} ${get('bit')})`)).join(' ')}
              (br $marks)))
          (br_if $next (i64.eqz ${get('stray')}))
          ${set('position', `(i32.sub ${place(get('stray'))} ${get('delta')})`)}
          ${end(STRAY)})
        ${set('block', `(i32.add ${get('block')} (i32.const 64))`)}
        (br $blocks)))
    (if (i64.ne ${get('unicode')} (i64.const 0)) (then ${set('seen', `(i32.const ${SUSPECT})`)}))
    (if (i8x16.bitmask ${get('all')}) (then ${set('seen', `(i32.or ${get('seen')} (i32.const ${NOT_ASCII}))`)}))
    ${suspend}
    ${(['start', 'comma', 'event', 'at', 'seen'] as const).map(field => store(field, get(field))).join(' ')}))
`

/** The module, in base64. */
export async function assemble (): Promise<string> {
  const { parseWat } = await wabt()
  const module = parseWat('structure.wat', source, { simd: true })
  try {
    module.validate()
    return Buffer.from(module.toBinary({}).buffer).toString('base64')
  } finally {
    module.destroy()
  }
}

if (process.argv[1] === import.meta.filename) {
  const lines = (await assemble()).match(/.{1,120}/g)!.map(line => `  '${line}'`)
  await writeFile(new URL('../plugins/json-stream/structure-wasm.ts', import.meta.url), `// Made by scripts/structure-wasm.ts, which has the text of it: not to be edited.
export const WASM = [
${lines.join(',\n')}
].join('')
`)
}
