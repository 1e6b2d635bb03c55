import { beforeEach, describe, expect, it } from 'vitest';
import type { ClusterEvent } from '../../src/live/events';
import { Changed, LiveState } from '../../src/live/reducer';

const AT = Date.parse('2026-01-01T00:00:00Z') / 1_000;
const stamp = (second: number) => new Date((AT + second) * 1_000).toISOString();

function task(id: string, state: string, index: number, second = 0): ClusterEvent {
  return {
    type: 'task_status',
    task_id: id,
    state,
    worker_id: null,
    attempt: null,
    timestamp: stamp(second),
    index,
  };
}

function sample(worker: string, second: number, cpu = 10): ClusterEvent {
  const zero = { memory: 0, storage: 0, gpu: 0, running_tasks: 0 };
  return { type: 'telemetry', worker_id: worker, cpu, ...zero, timestamp: stamp(second) };
}

function worker(id: string, state: string, index: number): ClusterEvent {
  const told = { is_active: state === 'active', reason: 'registered', timestamp: stamp(0) };
  return { type: 'worker_status', worker_id: id, state, ...told, index };
}

let state: LiveState;
beforeEach(() => {
  state = new LiveState();
});

describe('events of tasks', () => {
  it('are counted and measured from the queue to the start', () => {
    for (const [name, index, second] of [
      ['queued', 1, 0],
      ['assigned', 2, 1],
      ['running', 3, 2],
      ['completed', 4, 3],
    ] as const) {
      expect(state.apply(task('t1', name, index, second))).toBe(Changed.tasks);
    }
    expect(state.tasks.get('t1')).toMatchObject({ state: 'completed', index: 4 });
    expect(state.started.perSecond(AT + 4, 4, 1)).toEqual([0, 0, 1, 0]);
    expect(state.completed.perSecond(AT + 4, 4, 1)).toEqual([0, 0, 0, 1]);
    expect(state.waits.series(AT + 10, 10, 0.5)).toEqual([2]);
  });

  it('that come again or too late change nothing', () => {
    state.apply(task('t1', 'running', 3, 1));
    expect(state.apply(task('t1', 'queued', 2, 0))).toBe(Changed.nothing);
    state.apply(task('t1', 'running', 3, 1));
    expect(state.tasks.get('t1')).toMatchObject({ state: 'running' });
    expect(state.started.perSecond(AT + 2, 2, 1)).toEqual([0, 1]);
  });
});

describe('events of workers', () => {
  it('are kept, and told of', () => {
    expect(state.apply(worker('w1', 'inactive', 1))).toBe(Changed.workers | Changed.feed);
    state.apply(worker('w1', 'active', 2));
    expect(state.workers.get('w1')).toMatchObject({ state: 'active', index: 2 });
    expect(state.feed.map((notable) => [notable.kind, notable.text])).toEqual([
      ['good', 'worker w1 is active: registered'],
      ['bad', 'worker w1 is inactive: registered'],
    ]);
  });

  it('that say that it has departed end its usage', () => {
    state.apply(sample('w1', 0));
    state.apply(worker('w1', 'departed', 1));
    expect(state.usage.get('w1')).toBeUndefined();
  });
});

describe('samples of usage', () => {
  it('make a course, each time once', () => {
    for (const [second, cpu] of [
      [0, 10],
      [5, 20],
      [5, 99],
      [3, 99],
      [10, 30],
    ] as const) {
      state.apply(sample('w1', second, cpu));
    }
    expect(state.usage.get('w1')?.cpu.toArray()).toEqual([10, 20, 30]);
    expect(state.usage.get('w1')?.latest.cpu).toBe(30);
  });

  it('without a time are left out', () => {
    expect(state.apply({ ...sample('w1', 0), timestamp: 'soon' } as ClusterEvent)).toBe(Changed.nothing);
  });
});

describe('events of the cluster', () => {
  it('are told in words', () => {
    const events: ClusterEvent[] = [
      { type: 'leader', leader_id: 2, term: 7, timestamp: stamp(0), index: 1 },
      { type: 'mass_loss', state: 'raised', lost: 40, of: 50, timestamp: stamp(0), index: 2 },
      { type: 'member', name: '4', event: 'promoted', by: 'user:ada', timestamp: stamp(0), index: 3 },
      { type: 'settings', changed: { 'worker.lease': '5m' }, timestamp: stamp(0), index: 4 },
      { type: 'weather', timestamp: stamp(0), index: 5 },
    ];
    for (const event of events) state.apply(event);
    expect(state.feed.map((notable) => notable.text).reverse()).toEqual([
      'master 2 leads since term 7',
      'alarm of many lost workers raised: 40 of 50 workers',
      'master 4: promoted, by user:ada',
      'settings changed: worker.lease',
    ]);
  });
});

describe('events of schedules and of orders about many tasks', () => {
  it('have their pages read again', () => {
    expect(state.apply({ type: 'schedule_status', schedule: 'nightly', index: 1 })).toBe(Changed.schedules);
    expect(state.apply({ type: 'job_status', job_id: 'j1', index: 2 })).toBe(Changed.jobs);
    expect(state.feed).toEqual([]);
  });
});

describe('what is kept', () => {
  it('has a bound, however many events come', () => {
    for (let at = 0; at < 60_000; at += 1) {
      state.apply(task(`t${at}`, 'queued', at, at / 100));
      if (at % 2 === 0) state.apply(task(`t${at}`, 'running', at, at / 100 + 1));
      state.apply(worker(`w${at}`, 'active', at));
      state.apply(sample(`w${at % 20_000}`, at));
    }
    expect(state.tasks.size).toBe(2_000);
    expect(state.workers.size).toBe(10_000);
    expect(state.usage.size).toBe(10_000);
    expect(state.usage.get('w19999')?.cpu.length).toBeLessThanOrEqual(60);
    expect(state.feed.length).toBe(100);
    expect(state.waits.size).toBeLessThanOrEqual(61);
  });
});
