// As Netflix' Gradient2: the limit follows the ratio of a long and a short average of the service time, plus room for a queue.
import { Windowed } from './window.ts'

export class Gradient extends Windowed {
  #long = 0

  protected override next (service: number): number {
    this.#long = this.#long === 0 ? service : this.#long + (service - this.#long) / 300
    if (this.#long > 2 * service) this.#long *= 0.95
    const gradient = Math.max(0.5, Math.min(1, 1.5 * this.#long / service))
    return 0.8 * this.current + 0.2 * (this.current * gradient + 4)
  }
}
