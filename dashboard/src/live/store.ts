// The live state of this page, and signals that say that a part of it has changed.
import { computed, type ReadonlySignal, signal } from '@preact/signals';
import { currentTime } from './clock';
import { Changed, LiveState } from './reducer';
import { EventStream } from './stream';

/** Signals change no more often: events may come by the thousand each second. */
const FLUSH_MS = 250;

export const live = new LiveState();

/** Each counts changes of its part. */
export const ticks = {
  tasks: signal(0),
  workers: signal(0),
  usage: signal(0),
  cluster: signal(0),
  feed: signal(0),
  schedules: signal(0),
  jobs: signal(0),
  /** Everything that was read before may be outdated. */
  gap: signal(0),
};

/** Changes with each event of that task. */
export function taskIndex(id: string): ReadonlySignal<number> {
  return computed(() => (ticks.tasks.value >= 0 ? (live.tasks.get(id)?.index ?? 0) : 0));
}

/** Changes with each event of that worker. */
export function workerIndex(id: string): ReadonlySignal<number> {
  return computed(() => (ticks.workers.value >= 0 ? (live.workers.get(id)?.index ?? 0) : 0));
}

let pending: number = Changed.nothing;
let isScheduled = false;

function flush(): void {
  isScheduled = false;
  const changed = pending;
  pending = Changed.nothing;
  if (changed & Changed.tasks) ticks.tasks.value += 1;
  if (changed & Changed.workers) ticks.workers.value += 1;
  if (changed & Changed.usage) ticks.usage.value += 1;
  if (changed & Changed.cluster) ticks.cluster.value += 1;
  if (changed & Changed.feed) ticks.feed.value += 1;
  if (changed & Changed.schedules) ticks.schedules.value += 1;
  if (changed & Changed.jobs) ticks.jobs.value += 1;
}

export const stream = new EventStream({
  onEvent(event) {
    pending |= live.apply(event);
    if (pending === Changed.nothing || isScheduled) return;
    isScheduled = true;
    setTimeout(flush, FLUSH_MS);
  },
  onGap() {
    live.begin(currentTime() / 1_000);
    ticks.gap.value += 1;
  },
});
