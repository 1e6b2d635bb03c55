// Events of a large fleet, much faster than they would come: each minute of them when a test asks for it.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

const WORKERS = 1_000;
const HEARTBEAT_SECONDS = 5;
const TASKS_PER_SECOND = 50;
const STATES = ['queued', 'assigned', 'running', 'completed'];

export class Flood {
  private answer: ServerResponse | null = null;
  private second = Math.floor(Date.now() / 1_000) - 3_600;
  private index = 1_000_000;
  sent = 0;

  /** Takes the stream of the page. */
  open(answer: ServerResponse): void {
    answer.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    answer.write('retry: 1000\nid: 1000000\n\n');
    this.answer = answer;
  }

  get isOpen(): boolean {
    return this.answer !== null;
  }

  async minutes(count: number): Promise<void> {
    const end = this.second + 60 * count;
    for (; this.second < end; this.second += 1) {
      const block = [...this.telemetry(), ...this.tasks(), ...this.workers()].join('');
      if (this.answer?.write(block) === false) await once(this.answer, 'drain');
    }
  }

  private get timestamp(): string {
    return new Date(this.second * 1_000).toISOString();
  }

  private block(event: Record<string, unknown>, isReplicated: boolean): string {
    this.sent += 1;
    if (!isReplicated) return `data: ${JSON.stringify(event)}\n\n`;
    this.index += 1;
    return `id: ${this.index}\ndata: ${JSON.stringify({ ...event, index: this.index })}\n\n`;
  }

  private telemetry(): string[] {
    const first = this.second % HEARTBEAT_SECONDS;
    const count = WORKERS / HEARTBEAT_SECONDS;
    return Array.from({ length: count }, (_, at) => {
      const worker = first + at * HEARTBEAT_SECONDS;
      const cpu = (worker * 7 + this.second) % 100;
      const usage = { cpu, memory: (worker * 3) % 100, storage: 20, gpu: 0, running_tasks: worker % 8 };
      return this.block(
        { type: 'telemetry', worker_id: `fleet-${worker}`, ...usage, timestamp: this.timestamp },
        false,
      );
    });
  }

  private tasks(): string[] {
    const events: string[] = [];
    for (let at = 0; at < TASKS_PER_SECOND; at += 1) {
      for (const state of STATES) {
        const task = {
          task_id: `t${this.second}-${at}`,
          name: 'flood',
          state,
          worker_id: `fleet-${at}`,
          attempt: 1,
        };
        events.push(this.block({ type: 'task_status', ...task, timestamp: this.timestamp }, true));
      }
    }
    return events;
  }

  private workers(): string[] {
    const isActive = this.second % 2 === 0;
    const told = { is_active: isActive, state: isActive ? 'active' : 'inactive', reason: 'flapping' };
    const worker = { type: 'worker_status', worker_id: `fleet-${this.second % WORKERS}`, ...told };
    return [this.block({ ...worker, timestamp: this.timestamp }, true)];
  }
}
