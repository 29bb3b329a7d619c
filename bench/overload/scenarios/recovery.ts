// After the surge: how long a server takes to be normal again, also when its clients' retries keep the load up.
import { timeToNormal } from '../../support/outcomes.ts'
import { get } from '../../support/request.ts'
import { contest } from '../contest.ts'
import { middle, ms, table, verdict, verdicts, voids, type Findings, type Setting } from '../scenario.ts'
import { titles, type VariantName } from '../variants.ts'
import { CAPACITY, SERVICE } from '../workloads.ts'
import { TIMEOUT } from './goodput.ts'

const VARIANTS: VariantName[] = ['bare', 'tuned', 'defaults']
const OURS: VariantName[] = ['tuned', 'defaults']
/** A normal reply takes at most this: some service times. */
const NORMAL = 5 * SERVICE

interface Recovery { name: string, calm: number, load: number, surge: number, after: number, watch: number, retries: number, rounds: number, within: number, variants: VariantName[] }

async function recovery ({ generator }: Setting, { name, calm, load, surge, after, watch, retries, rounds, within, variants }: Recovery): Promise<Findings> {
  const before = 400
  const readings = await contest(name, generator, {
    workload: 'downstream',
    variants,
    points: [load],
    rounds,
    streams: () => [{
      request: get('/'),
      arrivals: [{ perSecond: CAPACITY * calm, ms: before }, { perSecond: CAPACITY * load, ms: surge }, { perSecond: CAPACITY * after, ms: watch }],
      timeout: TIMEOUT,
      retries
    }],
    read: attempts => timeToNormal(attempts, NORMAL, { from: before + surge })
  })
  const took = (variant: VariantName) => middle(readings.of(variant, load))
  return {
    tables: [
      `${load}× for ${surge / 1000} s${retries > 0 ? `, ${retries} immediate retries` : ''}, then ${after}×, watched for ${watch / 1000} s. Normal: 200 within ${NORMAL} ms, and it stays so.\n\n` +
      table(['', 'normal after'], variants.map(variant => [titles[variant], ms(took(variant))])),
      ...voids(readings)
    ],
    verdicts: [
      ...verdicts(readings, variants.filter(variant => OURS.includes(variant)), (variant, title) => verdict(`${title}: normal within ${within} ms`, ms(took(variant)), [took(variant)], took => took <= within)),
      ...(retries > 0 && variants.includes('bare') ? [verdict(`${titles.bare}, the control: not normal within ${watch} ms`, ms(took('bare')), [took('bare')], took => took === Infinity)] : [])
    ]
  }
}

export async function step (setting: Setting): Promise<Findings> {
  const rounds = Math.min(setting.rounds, 3)
  return await recovery(setting, { name: 'step', calm: 0.6, load: 3, surge: setting.quick ? 1000 : 1500, after: 0.6, watch: setting.quick ? 1200 : 1800, retries: 0, rounds, within: 250, variants: VARIANTS })
}

export async function metastable (setting: Setting): Promise<Findings> {
  const lengths = setting.quick ? { surge: 3000, watch: 2500 } : { surge: 20_000, watch: 5000 }
  // That the control fails shows at once.
  const control = await recovery(setting, { name: 'metastable, control', calm: 0.7, load: 3, after: 0.7, retries: 3, rounds: 1, within: 2000, variants: ['bare'], ...lengths })
  const ours = await recovery(setting, { name: 'metastable', calm: 0.7, load: 3, after: 0.7, retries: 3, rounds: Math.min(setting.rounds, 3), within: 2000, variants: OURS, ...lengths })
  return { tables: [...control.tables, ...ours.tables], verdicts: [...control.verdicts, ...ours.verdicts] }
}
