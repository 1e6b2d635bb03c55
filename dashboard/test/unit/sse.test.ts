import { describe, expect, it } from 'vitest';
import { SseParser } from '../../src/live/sse';

const STREAM =
  'retry: 1000\nid: 4\n\nid: 5\ndata: {"a":1}\n\n: still here\nid: 9\n\ndata: one\r\ndata: two\r\n\r\n';
const MESSAGES = [
  { id: '4', data: null },
  { id: '5', data: '{"a":1}' },
  { id: '9', data: null },
  { id: null, data: 'one\ntwo' },
];

describe('a stream of Server-Sent Events', () => {
  it('is read in one piece', () => {
    expect(new SseParser().push(STREAM)).toEqual(MESSAGES);
  });

  it('is the same wherever it is cut', () => {
    for (let at = 0; at <= STREAM.length; at += 1) {
      const parser = new SseParser();
      expect([...parser.push(STREAM.slice(0, at)), ...parser.push(STREAM.slice(at))]).toEqual(MESSAGES);
    }
  });

  it('is given up when a line has no end', () => {
    const parser = new SseParser();
    expect(() => {
      for (let pieces = 0; pieces < 20; pieces += 1) parser.push('x'.repeat(100_000));
    }).toThrow('longer than any event');
  });
});
