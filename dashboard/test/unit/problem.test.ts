import { describe, expect, it } from 'vitest';
import { faultsByField, ProblemError, readProblem, wordsOf } from '../../src/api/problem';
import { build, fieldOf, NEW_DRAFT } from '../../src/pages/submission';

describe('a refusal', () => {
  const body = JSON.stringify({
    type: 'urn:cloudai:error:unknown-field',
    title: 'Unknown field',
    status: 400,
    detail: 'unknown field `comand`',
    errors: [{ pointer: '/comand', detail: 'unknown' }],
    outcome: 'rejected',
    request_id: 'r1',
  });

  it('is read with its faults', () => {
    const error = new ProblemError(readProblem(400, body));
    expect(error.kind).toBe('unknown-field');
    expect(error.problem).toMatchObject({ status: 400, outcome: 'rejected', request_id: 'r1' });
    expect(wordsOf(error)).toBe('unknown field `comand`');
  });

  it('of a proxy is told of by its status', () => {
    expect(readProblem(502, '<html>').detail).toBe('the server answered with status 502');
    expect(readProblem(502, '"x"').detail).toBe('the server answered with status 502');
  });

  it('whose outcome is unknown says so', () => {
    const problem = { ...readProblem(503, body), outcome: 'unknown' as const };
    expect(wordsOf(new ProblemError(problem))).toBe(
      'unknown field `comand`. It may have taken effect nevertheless.',
    );
  });

  it('is shown beside the fields that it is about', () => {
    const faults = [
      { pointer: '/resources/cpu', detail: 'is too much' },
      { pointer: '/command/1', detail: 'is too long' },
      { pointer: '/env/A', detail: 'is bad' },
      { pointer: '/env/B', detail: 'is bad, too' },
      { pointer: '/constraints/0', detail: 'is odd' },
      { pointer: '', detail: 'all of it' },
    ];
    expect(faultsByField(faults, fieldOf)).toEqual({
      fields: { cpu: 'is too much', command: 'is too long', env: 'is bad; is bad, too' },
      rest: [faults[4], faults[5]],
    });
  });
});

describe('a submission', () => {
  it('names only what was filled in', () => {
    const draft = {
      ...NEW_DRAFT,
      command: 'echo "a b"',
      cpu: '0.5',
      labels: 'team=x',
      after: 't1, t2',
      delay: '5m',
    };
    expect(build(draft)).toEqual({
      task: {
        command: ['echo', 'a b'],
        delay: '5m',
        labels: { team: 'x' },
        after: ['t1', 't2'],
        resources: { cpu: 0.5 },
      },
    });
    expect(build(NEW_DRAFT)).toEqual({ task: {} });
  });

  it('that cannot be written as JSON is refused by field', () => {
    expect(build({ ...NEW_DRAFT, command: "'", priority: 'high', env: 'A' })).toEqual({
      faults: {
        command: "a ' is not closed",
        priority: "'high' is not a number",
        env: "'A' is not KEY=VALUE",
      },
    });
  });
});
