import { describe, expect, it } from 'vitest';
import { quantileOf, SecondCounts, SPAN_SECONDS, StepQuantiles } from '../../src/live/rates';
import { LatestMap, Ring } from '../../src/live/ring';

describe('counts by second', () => {
  it('are zero where nothing was counted, and forgotten after the span', () => {
    const counts = new SecondCounts();
    counts.add(1_000, 4);
    counts.add(1_001);
    counts.add(1_004, 2);
    expect(counts.perSecond(1_006, 6, 2)).toEqual([2.5, 0, 1]);
    counts.add(1_000 + SPAN_SECONDS);
    expect(counts.perSecond(1_006, 6, 1)).toEqual([0, 1, 0, 0, 2, 0]);
    counts.add(1_000, 9);
    expect(counts.perSecond(1_006, 6, 1)).toEqual([0, 1, 0, 0, 2, 0]);
    counts.add(1_000 + 5 * SPAN_SECONDS);
    expect(counts.perSecond(1_006, 6, 1)).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

describe('quantiles by step', () => {
  it('are absent where nothing was measured', () => {
    const waits = new StepQuantiles(10);
    for (const value of [5, 1, 3]) waits.add(105, value);
    waits.add(121, 9);
    expect(waits.series(130, 30, 0.5)).toEqual([3, null, 9]);
    expect(waits.series(130, 30, 0.99)).toEqual([5, null, 9]);
  });

  it('keep a sample of many durations, and few steps', () => {
    const waits = new StepQuantiles(10, () => 0.5);
    for (let at = 0; at < 100_000; at += 1) waits.add(at, at % 100);
    expect(waits.size).toBeLessThanOrEqual(SPAN_SECONDS / 10 + 1);
  });

  it('are those of the values', () => {
    expect(quantileOf([], 0.5)).toBeNull();
    expect(quantileOf([4], 0.99)).toBe(4);
    expect(quantileOf([4, 1, 3, 2], 0.5)).toBe(2);
  });
});

describe('containers with a bound', () => {
  it('keep the latest', () => {
    const ring = new Ring(3);
    for (const value of [1, 2, 3, 4]) ring.push(value);
    expect(ring.toArray()).toEqual([2, 3, 4]);
    expect(ring.last()).toBe(4);

    const map = new LatestMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.set('a', 3);
    map.set('c', 4);
    expect([map.get('a'), map.get('b'), map.get('c')]).toEqual([3, undefined, 4]);
  });
});
