// Counts of what happened in each second, and the spread of durations, over the last minutes.

/** Seconds that are kept and plotted. */
export const SPAN_SECONDS = 600;

/** A count for each second of the span. */
export class SecondCounts {
  private readonly counts = new Uint32Array(SPAN_SECONDS);
  private newest = 0;

  add(second: number, count = 1): void {
    this.advance(second);
    if (second <= this.newest - SPAN_SECONDS) return;
    const at = second % SPAN_SECONDS;
    this.counts[at] = (this.counts[at] ?? 0) + count;
  }

  /** Returns the counts of `length` seconds up to but without `second`, in steps of `step` seconds, per second. */
  perSecond(second: number, length: number, step: number): number[] {
    const out: number[] = [];
    for (let from = second - length; from < second; from += step) {
      let sum = 0;
      for (let at = from; at < from + step; at += 1) sum += this.at(at);
      out.push(sum / step);
    }
    return out;
  }

  private at(second: number): number {
    const isHeld = second <= this.newest && second > this.newest - SPAN_SECONDS && second >= 0;
    return isHeld ? (this.counts[second % SPAN_SECONDS] ?? 0) : 0;
  }

  private advance(second: number): void {
    if (second <= this.newest) return;
    const first = Math.max(this.newest + 1, second - SPAN_SECONDS + 1);
    for (let at = first; at <= second; at += 1) this.counts[at % SPAN_SECONDS] = 0;
    this.newest = second;
  }
}

/** Durations kept for each step. More of them in one step are sampled. */
const SAMPLES_MAX = 200;

/** Quantiles of durations for each step of the span. */
export class StepQuantiles {
  private readonly steps = new Map<number, { seen: number; samples: number[] }>();

  constructor(
    readonly stepSeconds: number,
    private readonly random: () => number = Math.random,
  ) {}

  get size(): number {
    return this.steps.size;
  }

  add(second: number, value: number): void {
    const step = Math.floor(second / this.stepSeconds);
    let held = this.steps.get(step);
    if (!held) {
      held = { seen: 0, samples: [] };
      this.steps.set(step, held);
      this.forget(step);
    }
    held.seen += 1;
    if (held.samples.length < SAMPLES_MAX) {
      held.samples.push(value);
      return;
    }
    // Reservoir sampling: each duration has the same chance to be kept.
    const at = Math.floor(this.random() * held.seen);
    if (at < SAMPLES_MAX) held.samples[at] = value;
  }

  /** Returns a quantile for each step of `length` seconds up to but without `second`; null where nothing was seen. */
  series(second: number, length: number, quantile: number): (number | null)[] {
    const end = Math.floor(second / this.stepSeconds);
    const count = Math.floor(length / this.stepSeconds);
    return Array.from({ length: count }, (_, at) => {
      const held = this.steps.get(end - count + at);
      return held ? quantileOf(held.samples, quantile) : null;
    });
  }

  private forget(newest: number): void {
    const oldest = newest - Math.ceil(SPAN_SECONDS / this.stepSeconds);
    for (const step of this.steps.keys()) if (step <= oldest) this.steps.delete(step);
  }
}

export function quantileOf(values: readonly number[], quantile: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.max(0, Math.ceil(quantile * sorted.length) - 1));
  return sorted[at] ?? null;
}
