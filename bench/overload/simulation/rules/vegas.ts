// TCP Vegas, naively: the queue is limit × (1 − shortest / mean), and is kept between 3 and 6 times log10(limit).
import { Windowed } from './window.ts'

export class Vegas extends Windowed {
  #shortest = Infinity

  protected override next (service: number): number {
    this.#shortest = Math.min(this.#shortest, service)
    const queue = this.current * (1 - this.#shortest / service)
    const unit = Math.max(1, Math.log10(this.current))
    if (queue < 3 * unit) return this.current + unit
    return queue > 6 * unit ? this.current - unit : this.current
  }
}
