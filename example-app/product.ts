// What a product is, for TypeScript and for Ajv, and the products that this example makes up.

export interface Product {
  id: number
  name: string
  category: string
  /** In cents. */
  price: number
  stock: number
  tags: string[]
  description: string
}

/** Ids have six digits, so that keys of the store sort as numbers do. */
export const MAX_ID = 999_999

/** Checks what comes in, and serialises what goes out faster than JSON.stringify. */
export const productSchema = {
  type: 'object',
  required: ['id', 'name', 'category', 'price', 'stock', 'tags', 'description'],
  additionalProperties: false,
  properties: {
    id: { type: 'integer', minimum: 1, maximum: MAX_ID },
    name: { type: 'string', minLength: 1, maxLength: 200 },
    category: { type: 'string', minLength: 1, maxLength: 50 },
    price: { type: 'integer', minimum: 0 },
    stock: { type: 'integer', minimum: 0 },
    tags: { type: 'array', maxItems: 20, items: { type: 'string', maxLength: 50 } },
    description: { type: 'string', maxLength: 2000 }
  }
} as const

const CATEGORIES = ['chairs', 'tables', 'lamps', 'shelves', 'rugs', 'clocks', 'mirrors', 'desks', 'beds', 'pots']
const MATERIALS = ['oak', 'walnut', 'steel', 'brass', 'linen', 'wool', 'glass', 'cork', 'marble', 'bamboo', 'leather', 'clay']
const STYLES = ['plain', 'round', 'low', 'tall', 'folding', 'light', 'heavy', 'narrow', 'wide', 'curved', 'stacked', 'angled']
const MAKERS = ['Aalto', 'Berg', 'Costa', 'Dahl', 'Egede', 'Fink', 'Gallo', 'Holm', 'Ito', 'Jung', 'Kerr', 'Lund']

/** The product with this id: the same one each time, so that a store made anew has the same content. */
export function productOf (id: number): Product {
  // Mixes the id so that neighbours differ (the finalizer of MurmurHash3).
  let mixed = Math.imul(id ^ (id >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) >>> 0
  const pick = (list: string[], salt: number): string => list[(mixed >>> salt) % list.length]!

  const category = CATEGORIES[id % CATEGORIES.length]!
  const [material, style, maker, second] = [pick(MATERIALS, 1), pick(STYLES, 5), pick(MAKERS, 9), pick(MATERIALS, 13)]
  return {
    id,
    name: `${maker} ${style} ${material} ${category.slice(0, -1)} No. ${id}`,
    category,
    price: 1_000 + mixed % 90_000,
    stock: mixed % 250,
    tags: [...new Set([material, style, second, maker.toLowerCase()])],
    description: `A ${style} piece in ${material} with details in ${second}, made by ${maker} in batches of ${10 + mixed % 40}. Ships flat within ${2 + mixed % 9} working days.`
  }
}
