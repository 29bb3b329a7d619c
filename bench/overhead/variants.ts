// What is compared, in the order of the table.

export interface Variant {
  bare?: boolean
  /** The four official plugins, wired by hand. */
  handWired?: boolean
  /** Plugins of the suite that are turned off. */
  off?: string[]
  /** Each reply reports the load to its peer. */
  reports?: boolean
}

export const variants: Record<string, Variant> = {
  'bare Fastify': { bare: true },
  'the official four, wired by hand': { handWired: true },
  'fastify-surge, all on': { off: [] },
  '… with loadBalancer, each reply a report': { reports: true },
  '… without rateLimit (the default)': { off: ['rateLimit'] },
  '… less serverDefaults': { off: ['serverDefaults'] },
  '… less lifecycle': { off: ['lifecycle'] },
  '… less pressure': { off: ['pressure'] },
  '… less deadline': { off: ['deadline'] },
  '… less concurrency': { off: ['concurrency'] },
  '… less compression': { off: ['compression'] },
  '… less jsonStream': { off: ['jsonStream'] },
  '… less everything': { off: ['serverDefaults', 'lifecycle', 'pressure', 'rateLimit', 'deadline', 'concurrency', 'compression', 'jsonStream'] }
}
