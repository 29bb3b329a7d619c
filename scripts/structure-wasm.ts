// Assembles the vectorised scan of plugins/json-stream/structure.ts: its text in WebAssembly's own format, and the module made of it.
//   node --import tsx scripts/structure-wasm.ts      writes plugins/json-stream/structure-wasm.ts
import { writeFile } from 'node:fs/promises'
import wabt from 'wabt'

/** Where the state lies: behind one page of input and the last block's padding. Its fields, by index, are those of structure-simd.ts. */
const STATE = 65_536 + 64
const fields = ['depth', 'inString', 'escaped', 'start', 'comma', 'event', 'at', 'maxDepth', 'maxElementBytes', 'base'] as const
const CLOSED = 1
const TOO_DEEP = 2
const TOO_LARGE = 3
const STRAY = 4

const get = (name: string) => `(local.get $${name})`
const set = (name: string, value: string) => `(local.set $${name} ${value})`
const load = (field: typeof fields[number]) => `(i32.load offset=${STATE + 4 * fields.indexOf(field)} (i32.const 0))`
const store = (field: typeof fields[number], value: string) => `(i32.store offset=${STATE + 4 * fields.indexOf(field)} (i32.const 0) ${value})`
const not = (value: string) => `(i64.xor ${value} (i64.const -1))`
const lowest = (value: string) => `(i64.and ${value} (i64.sub (i64.const 0) ${value}))`
const end = (event: number) => `${set('event', `(i32.const ${event})`)} ${set('at', `(i32.add ${get('position')} (i32.const 1))`)} (br $out)`

/** A bit a byte of the block's 64: whether it equals `byte`, in vectors by that name. */
function equal (vectors: string, byte: number): string {
  const part = (at: number) => `(i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.eq ${get(`${vectors}${at}`)} (i8x16.splat (i32.const ${byte}))))) (i64.const ${16 * at}))`
  return `(i64.or (i64.or ${part(0)} ${part(1)}) (i64.or ${part(2)} ${part(3)}))`
}

const four = [0, 1, 2, 3]

export const source = `(module
  (memory (export "memory") 2)
  (func (export "scan") (param $length i32)
    (local $block i32) (local $depth i32) (local $start i32) (local $comma i32) (local $event i32) (local $at i32)
    (local $maxDepth i32) (local $maxElementBytes i32) (local $base i32) (local $position i32)
    ${four.map(at => `(local $v${at} v128) (local $w${at} v128)`).join(' ')}
    (local $string i64) (local $carry i64) (local $backslashes i64) (local $escaped i64) (local $code i64)
    (local $opening i64) (local $closing i64) (local $commas i64) (local $stray i64) (local $left i64) (local $bit i64)
    ${(['depth', 'start', 'comma', 'maxDepth', 'maxElementBytes', 'base'] as const).map(field => set(field, load(field))).join(' ')}
    ${set('string', `(i64.extend_i32_s ${load('inString')})`)}
    ${set('carry', `(i64.extend_i32_u ${load('escaped')})`)}
    (block $out
      (loop $blocks
        (if (i32.ge_u ${get('block')} ${get('length')}) (then
          ${set('at', `(i32.add ${get('base')} ${get('length')})`)}
          (br $out)))
        ${four.map(at => set(`v${at}`, `(v128.load offset=${16 * at} ${get('block')})`)).join(' ')}
        ;; [ and { differ in one bit, and so do ] and }.
        ${four.map(at => set(`w${at}`, `(v128.or ${get(`v${at}`)} (i8x16.splat (i32.const 0x20)))`)).join(' ')}

        ;; Which bytes an odd run of backslashes precedes: Langdale and Lemire, Parsing Gigabytes of JSON per Second, 3.1.1.
        ${set('backslashes', equal('v', 0x5c))}
        (if (i64.eqz ${get('backslashes')})
          (then
            ${set('escaped', get('carry'))}
            ${set('carry', '(i64.const 0)')})
          (else
            ${set('code', `(i64.and ${get('backslashes')} ${not(get('carry'))})`)}
            ${set('code', `(i64.xor (i64.sub (i64.or (i64.shl ${get('code')} (i64.const 1)) (i64.const 0xaaaaaaaaaaaaaaaa)) ${get('code')}) (i64.const 0xaaaaaaaaaaaaaaaa))`)}
            ${set('escaped', `(i64.xor ${get('code')} (i64.or ${get('backslashes')} ${get('carry')}))`)}
            ;; The last byte that is there, not the last of the block: what follows it is padding.
            ${set('carry', `(i64.and (i64.const 1) (i64.shr_u (i64.and ${get('code')} ${get('backslashes')})
              (i64.extend_i32_u (select (i32.const 63) (i32.sub (i32.sub ${get('length')} ${get('block')}) (i32.const 1)) (i32.ge_u (i32.sub ${get('length')} ${get('block')}) (i32.const 64))))))`)}))

        ;; In a string from each quote to the next: the exclusive-or of all bits below.
        ${set('code', `(i64.and ${equal('v', 0x22)} ${not(get('escaped'))})`)}
        ${[1, 2, 4, 8, 16, 32].map(by => set('code', `(i64.xor ${get('code')} (i64.shl ${get('code')} (i64.const ${by})))`)).join(' ')}
        ${set('code', `(i64.xor ${get('code')} ${get('string')})`)}
        ${set('string', `(i64.shr_s ${get('code')} (i64.const 63))`)}
        ${set('code', not(get('code')))}
        ${set('opening', `(i64.and ${get('code')} ${equal('w', 0x7b)})`)}
        ${set('closing', `(i64.and ${get('code')} ${equal('w', 0x7d)})`)}
        ${set('commas', `(i64.and ${get('code')} ${equal('v', 0x2c)})`)}
        ${set('stray', `(i64.and ${get('code')} ${get('backslashes')})`)}
        (if (i64.ne ${get('stray')} (i64.const 0)) (then
          ${set('left', `(i64.sub ${lowest(get('stray'))} (i64.const 1))`)}
          ${['opening', 'closing', 'commas'].map(name => set(name, `(i64.and ${get(name)} ${get('left')})`)).join(' ')}))

        (block $next
          (loop $marks
            ${set('left', `(i64.or ${get('opening')} ${get('closing')})`)}
            (if (i32.eq ${get('depth')} (i32.const 1)) (then ${set('left', `(i64.or ${get('left')} ${get('commas')})`)}))
            (br_if $next (i64.eqz ${get('left')}))
            ${set('bit', lowest(get('left')))}
            ${set('position', `(i32.add (i32.add ${get('base')} ${get('block')}) (i32.wrap_i64 (i64.ctz ${get('left')})))`)}
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

        (if (i64.ne ${get('stray')} (i64.const 0)) (then
          ${set('position', `(i32.add (i32.add ${get('base')} ${get('block')}) (i32.wrap_i64 (i64.ctz ${get('stray')})))`)}
          ${end(STRAY)}))
        ${set('block', `(i32.add ${get('block')} (i32.const 64))`)}
        (br $blocks)))
    ${store('inString', `(i32.wrap_i64 ${get('string')})`)}
    ${store('escaped', `(i32.wrap_i64 ${get('carry')})`)}
    ${(['depth', 'start', 'comma', 'event', 'at'] as const).map(field => store(field, get(field))).join(' ')}))
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
