import { describe, expect, it } from 'vitest';
import type { ClusterStatus, Member, Worker } from '../../src/api/types';
import { pauseAfter } from '../../src/live/pause';
import { alarmsOf, remedyOf } from '../../src/pages/alarms';
import { LINE_LENGTH_MAX, LINES_MAX, LogBuffer } from '../../src/pages/log-buffer';
import { ordersFor } from '../../src/pages/worker-orders';

const member = (id: number, over: Partial<Member> = {}): Member =>
  ({ id, reachable: true, voter: true, clock_offset_ms: 0, differing_settings: [], ...over }) as Member;
const status = (over: Partial<ClusterStatus>): ClusterStatus =>
  ({
    problems: [],
    members: [member(1)],
    workers: {},
    mass_loss: null,
    orphans: 0,
    ...over,
  }) as ClusterStatus;

describe('alarms', () => {
  it('are none where nothing is wrong', () => {
    expect(alarmsOf(status({ workers: { active: 3, inactive: 1 } }))).toEqual([]);
  });

  it('say what to do about each problem that masters name', () => {
    for (const problem of [
      'there is no leader',
      'only 1 of 3 voters can be reached: no quorum',
      'master 2 cannot be reached',
      'master 2 is 20000 entries behind',
      'the disk of master 2 has 7 bytes left, below its limits.disk_free_min',
      "the clock of master 2 is 5s ahead of the masters' median",
    ]) {
      expect(remedyOf(problem)).not.toBe(remedyOf('something new'));
      expect(alarmsOf(status({ problems: [problem] }))).toMatchObject([{ text: problem }]);
    }
  });

  it('name lost workers, orphans, clocks and settings', () => {
    const alarms = alarmsOf(
      status({
        mass_loss: { since: '', lost: 40, of: 50, acknowledged_at: null },
        orphans: 1,
        workers: { unfit: 2 },
        members: [member(1), member(2, { clock_offset_ms: -900, differing_settings: ['worker.lease'] })],
      }),
    );
    expect(alarms.map((alarm) => alarm.text)).toEqual([
      '40 of 50 workers fell silent at once',
      '1 result came in of attempts that this cluster does not know',
      '2 workers are unfit',
      'the configuration of master 2 differs from the settings of the cluster: worker.lease',
      'the clock of master 2 is 900 ms behind the others',
    ]);
    expect(alarms[0]?.action).toBe('acknowledge');
    const told = alarmsOf(status({ mass_loss: { since: '', lost: 4, of: 5, acknowledged_at: 'x' } }));
    expect(told).toEqual([]);
  });
});

describe('orders about a worker', () => {
  it.each([
    ['open', true, ['drain', 'cordon']],
    ['cordoned', true, ['drain', 'uncordon']],
    ['draining', true, ['uncordon']],
    ['open', false, ['reconnect', 'drain', 'cordon']],
  ] as const)('that is %s', (scheduling, isActive, names) => {
    expect(ordersFor({ scheduling, is_active: isActive } as Worker)).toEqual(names);
  });
});

describe('a log', () => {
  it('keeps its end', () => {
    const log = new LogBuffer();
    for (let at = 0; at < LINES_MAX + 10; at += 1) log.push(`line ${at}\n`);
    expect(log.text.split('\n')).toHaveLength(LINES_MAX);
    expect(log.text.startsWith('line 10\n')).toBe(true);
    expect(log.dropped).toBe(10);
  });

  it('of lines without end has a bound', () => {
    const log = new LogBuffer();
    for (let at = 0; at < 100; at += 1) log.push('x'.repeat(1_000));
    expect(log.text.length).toBeLessThanOrEqual(2 * LINE_LENGTH_MAX);
  });

  it('is joined from pieces, without what moves a terminal', () => {
    const log = new LogBuffer();
    expect(log.isEmpty).toBe(true);
    for (const piece of ['a\x1b[31mre', 'd\x1b[0m\r\n10 %\r20 %\n', 'open']) log.push(piece);
    expect(log.text).toBe('ared\n20 %\nopen');
  });
});

describe('connecting again', () => {
  it('waits longer after each failure, up to five seconds', () => {
    const pauses = [1, 2, 3, 9, 100].map((failures) => pauseAfter(failures, () => 0.5));
    expect(pauses).toEqual([300, 700, 1_500, 5_000, 5_000]);
  });
});
