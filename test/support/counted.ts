// What an app has counted, as a flat record: 'name label=value': number. A histogram is its count.
import type { FastifyInstance } from 'fastify'
import { instrumentsOf } from '../../plugins/shared/instruments.ts'

export function counted (app: FastifyInstance, prefix: string): Record<string, number> {
  const families = instrumentsOf(app).collect().filter(({ instrument }) => instrument.name.startsWith(prefix))
  return Object.fromEntries(families.flatMap(({ instrument, points }) => points.map(({ labels, value }) => [
    [instrument.name, ...Object.entries(labels).map(([name, value]) => `${name}=${value}`)].join(' '),
    typeof value === 'number' ? value : value.count
  ])))
}
