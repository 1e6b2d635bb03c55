import { describe, expect, it } from 'vitest';
import * as format from '../../src/format';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const past = (ms: number) => new Date(NOW - ms).toISOString();

describe('spans', () => {
  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1_000, '1 s'],
    [1_450, '1.4 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [3_661_000, '1 h 1 min'],
    [90_000_000, '1 d 1 h'],
    [-5_000, '−5 s'],
    [Number.NaN, '–'],
  ])('%d ms are %s', (ms, text) => {
    expect(format.span(ms)).toBe(text);
  });

  it('of a plot are as exact as they are short', () => {
    expect([0.0004, 0.0064, 0.25, 3, null].map(format.seconds)).toEqual([
      '400 µs',
      '6.4 ms',
      '250 ms',
      '3 s',
      '–',
    ]);
  });
});

describe('ages', () => {
  it('are whole seconds', () => {
    expect(format.ago(past(2_900), NOW)).toBe('2 s ago');
    expect(format.ago(past(400), NOW)).toBe('now');
    expect(format.ago(past(-6_200), NOW)).toBe('in 7 s');
    expect(format.ago(null, NOW)).toBe('–');
    expect(format.ago('soon', NOW)).toBe('–');
  });
});

describe('amounts', () => {
  it('have the unit that fits', () => {
    expect([0, 1_023, 1_536, 46_274_256_896].map(format.bytes)).toEqual([
      '0 B',
      '1023 B',
      '1.5 KiB',
      '43 GiB',
    ]);
    expect(format.mebibytes(512)).toBe('512 MiB');
    expect(format.resources({ cpu: 2, memory_mb: 4096, storage_mb: 0, gpu: 1, custom: { license: 3 } })).toBe(
      '2 CPU, 4 GiB, 1 GPU, 3 license',
    );
    expect(format.count(1_234_567)).toBe('1,234,567');
    expect(format.count(null)).toBe('–');
    expect(format.plural(1, 'task')).toBe('1 task');
  });
});

describe('commands', () => {
  it('are quoted where a shell would need it', () => {
    expect(format.commandLine(['sh', '-c', "echo 'a b'", ''])).toBe(`sh -c 'echo '\\''a b'\\''' ''`);
  });
});
