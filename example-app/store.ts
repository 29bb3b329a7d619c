// The products in LevelDB, embedded in the process. Each write also changes the store's version, in the same atomic
// batch, so that a list can be revalidated without being read.
import { ClassicLevel } from 'classic-level'
import { productOf, type Product } from './product.ts'

const VERSION_KEY = 'version'
const SEEDED = 2_000

/** 'product!000123': readable, and in the order of the ids. */
function keyOf (id: number): string {
  return `product!${String(id).padStart(6, '0')}`
}

/**
 * One write of a batch. A class, because V8 learns that the objects of a literal outlive a collection when one falls between a
 * batch's making and its end, and makes all later ones in the old generation. There they wait for a full collection, dead,
 * with their products: an import of 40 MB took 66 MB instead of 23.
 */
class Put {
  readonly type = 'put'
  readonly key: string
  readonly value: Product

  constructor (product: Product) {
    this.key = keyOf(product.id)
    this.value = product
  }
}

export class Store {
  readonly #db: ClassicLevel<string, any>
  #version = 0
  #lastWrite: Promise<void> = Promise.resolve()

  private constructor (dataDir: string) {
    this.#db = new ClassicLevel<string, any>(dataDir, {
      valueEncoding: 'json',
      // Two of these may be in memory while an import outruns the disk, and LevelDB's log is as long as one. 1 MiB
      // instead of 4 keeps an import's footprint small; the tables it makes are merged later in any case.
      writeBufferSize: 1024 * 1024,
      // Unpacked blocks that were read last. The page that GET /products lists is less than 1 MiB.
      cacheSize: 2 * 1024 * 1024,
      // Snappy halves the tables. LevelDB maps them into memory to read and merge them, so it halves that too.
      compression: true,
      // Tables that are kept open and mapped; LevelDB takes no less than 74. 1,000 of them could map 2 GB.
      maxOpenFiles: 74
    })
  }

  /** Opens the store, and fills it with 2,000 products when it is new. */
  static async open (dataDir: string): Promise<Store> {
    const store = new Store(dataDir)
    await store.#db.open()
    store.#version = await store.#db.get(VERSION_KEY) ?? 0
    if (store.#version === 0) await store.put(Array.from({ length: SEEDED }, (_, index) => productOf(index + 1)))
    return store
  }

  /**
   * Changes with each write, and is read before what it names: a page that is newer than its version is sent again for
   * nothing, one that is older would be kept.
   */
  get version (): number {
    return this.#version
  }

  /** Writes these products, all or none. Writers take turns, so that versions come in the order of the writes. */
  put (products: readonly Product[]): Promise<void> {
    const write = this.#lastWrite.then(async () => {
      // From the clock, so that a store that was deleted and made anew doesn't use the versions of the old one again.
      const version = Math.max(Date.now(), this.#version + 1)
      await this.#db.batch([
        ...products.map(product => new Put(product)),
        { type: 'put', key: VERSION_KEY, value: version }
      ])
      this.#version = version
    })
    this.#lastWrite = write.catch(() => {})
    return write
  }

  get (id: number): Promise<Product | undefined> {
    return this.#db.get(keyOf(id))
  }

  /** Up to `limit` products behind the id `after`, by id. */
  page (after: number, limit: number): Promise<Product[]> {
    return this.#db.values({ gt: keyOf(after), lt: 'product"', limit }).all()
  }

  close (): Promise<void> {
    return this.#db.close()
  }
}
