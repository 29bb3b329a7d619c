// The bodies of the benchmark: arrays of records of one shape, as JSON.stringify writes them.
const WORDS = 'the quick brown fox jumps over the lazy dog and runs along the river '

export const shapes: Record<string, (id: number) => unknown> = {
  '100 B records': id => ({ id, name: `Customer ${id}`, email: `user${id}@example.com`, active: id % 2 === 0, score: id * 1.37 }),
  '1 KB records': id => ({ id, title: `Order ${id}`, lines: Array.from({ length: 6 }, (_, line) => ({ sku: `SKU-${id}-${line}`, quantity: line + 1, price: line * 9.99, note: WORDS })), address: { street: `${id} Main Street`, city: 'Springfield', zip: String(10_000 + id % 90_000) } }),
  '100 KB records': id => ({ id, text: WORDS.repeat(700), tags: Array.from({ length: 2500 }, (_, tag) => `tag-${tag}-of-${id}`) }),
  numbers: id => [id, id * 1.1, -id / 3, id * 1e6, 0.5],
  escapes: id => ({ id, text: 'line "one"\n\tline \\two\\\n'.repeat(8) }),
  'non-ASCII': id => ({ id, text: 'Grüße aus Köln, 日本語テキスト, привет, ελληνικά '.repeat(4) }),
  '{},': () => ({})
}

export function body (shape: string, bytes: number): Buffer {
  const parts: string[] = []
  for (let id = 0, size = 0; size < bytes; id++) {
    const record = JSON.stringify(shapes[shape]!(id))
    size += Buffer.byteLength(record) + 1
    parts.push(record)
  }
  return Buffer.from(`[${parts.join(',')}]`)
}
