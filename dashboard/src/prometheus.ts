// Reads the text format of Prometheus, as far as the plots need it.

/** Cumulative counts of a histogram by the upper bounds of its buckets. */
export interface Histogram {
  bounds: number[];
  counts: number[];
}

export interface Metrics {
  values: Map<string, number>;
  histograms: Map<string, Histogram>;
}

/** Reads series without labels, and histograms whose only label is `le`. */
export function parseMetrics(text: string, names: ReadonlySet<string>): Metrics {
  const values = new Map<string, number>();
  const histograms = new Map<string, Histogram>();
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{le="([^"]+)"\})? (\S+)/.exec(line);
    const [, name = '', le, text = ''] = match ?? [];
    const base = le === undefined ? name : name.replace(/_bucket$/, '');
    if (!match || !names.has(base)) continue;
    if (le === undefined) {
      values.set(name, Number(text));
      continue;
    }
    const histogram = histograms.get(base) ?? { bounds: [], counts: [] };
    histogram.bounds.push(le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le));
    histogram.counts.push(Number(text));
    histograms.set(base, histogram);
  }
  return { values, histograms };
}

/** Returns a quantile of what was observed between two readings; null if nothing was. */
export function quantileBetween(
  before: Histogram | undefined,
  after: Histogram | undefined,
  quantile: number,
): number | null {
  if (!before || !after || before.counts.length !== after.counts.length) return null;
  const counts = after.counts.map((value, at) => value - (before.counts[at] ?? 0));
  const total = counts.at(-1) ?? 0;
  // A counter that has fallen is that of a process that was started again.
  if (total <= 0 || counts.some((value) => value < 0)) return null;
  const rank = quantile * total;
  const at = counts.findIndex((value) => value >= rank);
  const upper = after.bounds[at] ?? 0;
  const lower = at > 0 ? (after.bounds[at - 1] ?? 0) : 0;
  if (!Number.isFinite(upper)) return lower;
  const below = at > 0 ? (counts[at - 1] ?? 0) : 0;
  const within = (counts[at] ?? 0) - below;
  return within <= 0 ? upper : lower + (upper - lower) * ((rank - below) / within);
}
