// Turns the stream of events into what the pages show. Everything that is kept has a bound, so that a page
// that is open for days has the same size as one that is open for minutes.
import {
  type ClusterEvent,
  isLeader,
  isTaskStatus,
  isTelemetry,
  isWorkerStatus,
  type TaskStatus,
  type Telemetry,
  type WorkerStatus,
} from './events';
import { SecondCounts, StepQuantiles } from './rates';
import { LatestMap, Ring } from './ring';

/** Tasks whose last event is kept: far more than a page of tasks shows. */
const TASKS_MAX = 2_000;
/** Tasks whose time in the queue is being measured. */
const WAITING_MAX = 20_000;
const WORKERS_MAX = 10_000;
/** Samples of usage of one worker: five minutes at the usual heartbeat interval. */
const SAMPLES_MAX = 60;
const FEED_MAX = 100;
/** Seconds that one point of a plot of durations stands for. */
export const WAIT_STEP_SECONDS = 10;

/** Parts of the state, as bits: what an event has changed. */
export const Changed = {
  nothing: 0,
  tasks: 1,
  workers: 2,
  usage: 4,
  cluster: 8,
  feed: 16,
  schedules: 32,
  jobs: 64,
} as const;

export interface Usage {
  latest: Telemetry;
  cpu: Ring;
  memory: Ring;
  storage: Ring;
  gpu: Ring;
  /** Seconds since the epoch of each sample. */
  at: Ring;
}

/** Something that an operator wants to have noticed. */
export interface Notable {
  key: number;
  timestamp: string | null;
  kind: 'good' | 'bad' | 'info';
  text: string;
  workerId: string | null;
}

export class LiveState {
  readonly tasks = new LatestMap<string, TaskStatus>(TASKS_MAX);
  readonly workers = new LatestMap<string, WorkerStatus>(WORKERS_MAX);
  readonly usage = new LatestMap<string, Usage>(WORKERS_MAX);
  readonly started = new SecondCounts();
  readonly completed = new SecondCounts();
  readonly failed = new SecondCounts();
  readonly waits = new StepQuantiles(WAIT_STEP_SECONDS);
  feed: Notable[] = [];
  private readonly queuedAt = new LatestMap<string, number>(WAITING_MAX);
  private notables = 0;
  private first: number | null = null;

  /** Says that events are being counted from a time on, in seconds since the epoch. */
  begin(second: number): void {
    this.first ??= second;
  }

  /** Time from which on events were counted; null before that. */
  get since(): number | null {
    return this.first;
  }

  /** Takes an event and returns what it has changed, as bits. */
  apply(event: ClusterEvent): number {
    if (isTelemetry(event)) return this.onTelemetry(event);
    if (isTaskStatus(event)) return this.onTask(event);
    if (isWorkerStatus(event)) return this.onWorker(event);
    if (isLeader(event)) {
      const text = `master ${event.leader_id} leads since term ${event.term}`;
      return this.note(event.timestamp, 'info', text) | Changed.cluster;
    }
    // The pages of these read them again.
    if (event.type === 'schedule_status') return Changed.schedules;
    if (event.type === 'job_status') return Changed.jobs;
    const words = inWords(event);
    return words ? this.note(words.timestamp, words.kind, words.text) | Changed.cluster : Changed.nothing;
  }

  private onTelemetry(event: Telemetry): number {
    const at = Date.parse(event.timestamp) / 1_000;
    if (!Number.isFinite(at)) return Changed.nothing;
    const ring = () => new Ring(SAMPLES_MAX);
    const usage = this.usage.get(event.worker_id) ?? {
      latest: event,
      cpu: ring(),
      memory: ring(),
      storage: ring(),
      gpu: ring(),
      at: ring(),
    };
    const last = usage.at.last();
    if (last !== undefined && at <= last) return Changed.nothing;
    usage.latest = event;
    usage.cpu.push(event.cpu);
    usage.memory.push(event.memory);
    usage.storage.push(event.storage);
    usage.gpu.push(event.gpu);
    usage.at.push(at);
    this.usage.set(event.worker_id, usage);
    return Changed.usage;
  }

  private onTask(event: TaskStatus): number {
    const before = this.tasks.get(event.task_id);
    // After a broken connection an event may come twice.
    if (before && before.index > event.index) return Changed.nothing;
    const isRepeated = before?.index === event.index && before.state === event.state;
    this.tasks.set(event.task_id, event);
    if (!isRepeated) this.count(event);
    return Changed.tasks;
  }

  private count(event: TaskStatus): void {
    const at = Date.parse(event.timestamp) / 1_000;
    if (!Number.isFinite(at)) return;
    const second = Math.floor(at);
    switch (event.state) {
      case 'queued':
        this.queuedAt.set(event.task_id, at);
        break;
      case 'running': {
        this.started.add(second);
        const queuedAt = this.queuedAt.get(event.task_id);
        if (queuedAt !== undefined) this.waits.add(second, Math.max(0, at - queuedAt));
        this.queuedAt.delete(event.task_id);
        break;
      }
      case 'completed':
        this.completed.add(second);
        this.queuedAt.delete(event.task_id);
        break;
      case 'failed':
        this.failed.add(second);
        this.queuedAt.delete(event.task_id);
        break;
      case 'cancelled':
      case 'aborted':
        this.queuedAt.delete(event.task_id);
        break;
      default:
    }
  }

  private onWorker(event: WorkerStatus): number {
    const before = this.workers.get(event.worker_id);
    if (before && before.index > event.index) return Changed.nothing;
    const isRepeated = before?.index === event.index && before.state === event.state;
    this.workers.set(event.worker_id, event);
    if (event.state === 'departed') this.usage.delete(event.worker_id);
    if (isRepeated) return Changed.workers;
    const detail = event.detail ? ` (${event.detail})` : '';
    const kind = event.state === 'active' ? 'good' : event.state === 'draining' ? 'info' : 'bad';
    const text = `worker ${event.worker_id} is ${event.state}: ${event.reason}${detail}`;
    return this.note(event.timestamp, kind, text, event.worker_id) | Changed.workers;
  }

  private note(
    timestamp: string | null,
    kind: Notable['kind'],
    text: string,
    workerId: string | null = null,
  ): number {
    this.notables += 1;
    const notable = { key: this.notables, timestamp, kind, text, workerId };
    this.feed = [notable, ...this.feed.slice(0, FEED_MAX - 1)];
    return Changed.feed;
  }
}

interface Words {
  timestamp: string | null;
  kind: Notable['kind'];
  text: string;
}

/** Describes an event that is shown in words only. */
function inWords(event: ClusterEvent): Words | null {
  const { timestamp = null, ...fields } = event as { timestamp?: string } & Record<string, unknown>;
  const told = (kind: Notable['kind'], text: string): Words => ({ timestamp, kind, text });
  const by = fields.by === undefined ? '' : `, by ${String(fields.by)}`;
  switch (event.type) {
    case 'mass_loss': {
      const many = fields.lost === undefined ? '' : `: ${fields.lost} of ${fields.of} workers`;
      return told(
        fields.state === 'raised' ? 'bad' : 'info',
        `alarm of many lost workers ${fields.state}${many}`,
      );
    }
    case 'member':
      return told('info', `master ${fields.name}: ${fields.event}${by}`);
    case 'settings':
      return told('info', `settings changed: ${namesOf(fields.changed)}${by}`);
    case 'orphaned_result':
      return told(
        'bad',
        `worker ${fields.worker_id} reports a result of ${fields.task_id} that is not known here`,
      );
    default:
      return null;
  }
}

function namesOf(changed: unknown): string {
  const names = typeof changed === 'object' && changed !== null ? Object.keys(changed) : [];
  const shown = names.slice(0, 4).join(', ');
  return names.length > 4 ? `${shown} and ${names.length - 4} more` : shown;
}
