import { describe, expect, it } from 'vitest';
import { parseMetrics, quantileBetween } from '../../src/prometheus';

const text = (counts: number[]) =>
  ['0.1', '0.2', '+Inf'].map((le, at) => `c_seconds_bucket{le="${le}"} ${counts[at]}`).join('\n');
const read = (counts: number[]) =>
  parseMetrics(
    `# HELP c_seconds\n${text(counts)}\nc_term 7\nother 1\nc_term{a="b"} 3\n`,
    new Set(['c_seconds', 'c_term']),
  );

describe('metrics', () => {
  it('are read by name', () => {
    const metrics = read([1, 2, 3]);
    expect([...metrics.values]).toEqual([['c_term', 7]]);
    expect(metrics.histograms.get('c_seconds')).toEqual({
      bounds: [0.1, 0.2, Number.POSITIVE_INFINITY],
      counts: [1, 2, 3],
    });
  });

  it('give quantiles of what happened in between', () => {
    const of = (before: number[], after: number[], quantile: number) =>
      quantileBetween(
        read(before).histograms.get('c_seconds'),
        read(after).histograms.get('c_seconds'),
        quantile,
      );
    expect(of([0, 0, 0], [10, 10, 10], 0.5)).toBeCloseTo(0.05);
    expect(of([5, 5, 5], [5, 15, 15], 0.5)).toBeCloseTo(0.15);
    expect(of([0, 0, 0], [0, 0, 4], 0.99)).toBe(0.2);
    expect(of([5, 5, 5], [5, 5, 5], 0.5)).toBeNull();
    expect(of([5, 5, 5], [1, 1, 1], 0.5)).toBeNull();
    expect(quantileBetween(undefined, undefined, 0.5)).toBeNull();
  });
});
