// As Uber's Cinnamon: Vegas' estimate of the queue, joined with the covariance of throughput and in-flight over 50 windows:
// more in flight without more throughput is an overload, and only without one is the baseline renewed.
import { Windowed } from './window.ts'

const WINDOWS = 50

export class Covariance extends Windowed {
  readonly #inflights: number[] = []
  readonly #throughputs: number[] = []
  #baseline = 0
  #age = 0

  protected override next (service: number, inflight: number, throughput: number): number {
    this.#inflights.push(inflight)
    this.#throughputs.push(throughput)
    if (this.#inflights.length > WINDOWS) {
      this.#inflights.shift()
      this.#throughputs.shift()
    }
    const covariance = covarianceOf(this.#inflights, this.#throughputs)
    if (this.#baseline === 0 || service < this.#baseline || (++this.#age > WINDOWS && covariance > 0)) {
      this.#baseline = service
      this.#age = 0
    }
    const queue = this.current * (1 - this.#baseline / service)
    const unit = Math.max(1, Math.log10(this.current))
    if (queue > 6 * unit || (queue > 3 * unit && covariance <= 0)) return this.current - Math.max(unit, this.current / 10)
    return queue < 3 * unit ? this.current + unit : this.current
  }
}

function covarianceOf (xs: readonly number[], ys: readonly number[]): number {
  const x = xs.reduce((a, b) => a + b, 0) / xs.length
  const y = ys.reduce((a, b) => a + b, 0) / ys.length
  return xs.reduce((sum, value, i) => sum + (value - x) * (ys[i]! - y), 0) / xs.length
}
