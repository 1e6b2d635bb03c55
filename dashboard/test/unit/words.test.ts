import { describe, expect, it } from 'vitest';
import { requestIdOf, slugOf } from '../../src/api/request-id';
import { commandLine } from '../../src/format';
import { readPairs, splitWords } from '../../src/words';

describe('a command line', () => {
  it.each([
    ['echo hello', ['echo', 'hello']],
    ["  sh -c 'a  b' ", ['sh', '-c', 'a  b']],
    ['a"b c"d', ['ab cd']],
    [`a\\ b "" ''`, ['a b', '', '']],
    ['"a\\"b"', ['a"b']],
    ['', []],
  ])('%s', (line, words) => {
    expect(splitWords(line)).toEqual({ words });
  });

  it('that has no end is refused', () => {
    expect(splitWords("echo 'a")).toEqual({ fault: "a ' is not closed" });
    expect(splitWords('echo \\')).toEqual({ fault: 'the line ends after a backslash' });
  });

  it('is split into the words that it was made of', () => {
    const words = ['a', 'b c', "d'e", 'f"g', '', '$h\\'];
    expect(splitWords(commandLine(words))).toEqual({ words });
  });
});

describe('pairs', () => {
  it('are read by lines', () => {
    expect(readPairs('a=1\n\n b=c=d \ne=')).toEqual({ pairs: { a: '1', b: 'c=d', e: '' } });
    expect(readPairs('a')).toEqual({ fault: "'a' is not KEY=VALUE" });
    expect(readPairs('=a')).toEqual({ fault: "'=a' is not KEY=VALUE" });
  });
});

describe('a reason', () => {
  it('becomes an id that masters take', () => {
    expect(slugOf('Disk swap, rack 4 (Jürgen)')).toBe('Disk-swap-rack-4-Jurgen');
    const id = requestIdOf('x'.repeat(200), () => 0);
    expect(id).toHaveLength(64);
    expect(requestIdOf('€', () => 0)).toBe('dashboard.000000');
    for (const reason of ['a b', '../..', 'ü€😀 x', '--', 'x'.repeat(200)]) {
      expect(requestIdOf(reason)).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
    }
  });
});
