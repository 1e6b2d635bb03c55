// A real cluster: `clusterctl dev`, with the processes that it starts.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DIST, serveDist } from './front';

/** Below the ports that systems give to clients. */
const BASE_PORT = Number(process.env.CLOUDAI_DASHBOARD_PORT ?? 18_000);
/** More than one cluster takes. */
const PORTS = 300;
const TRIES_MAX = 20;
const START_MS = 60_000;
let clusters = 0;

export interface Shape {
  masters?: number;
  workers?: number;
  executor?: 'process' | 'noop';
  secured?: boolean;
}

interface Started {
  pid: number;
  http: string;
}

export class Cluster {
  private fronts: (() => Promise<void>)[] = [];

  private constructor(
    private readonly dev: ChildProcess,
    readonly masters: ReadonlyMap<number, Started>,
    private readonly scheme: string,
    /** What `clusterctl dev` has said. */
    readonly said: string,
  ) {}

  static async start(shape: Shape = {}): Promise<Cluster> {
    for (let tries = 0; ; tries += 1) {
      clusters += 1;
      try {
        return await Cluster.startAt(BASE_PORT + PORTS * clusters, shape);
      } catch (error) {
        // Somebody else's ports: the next ones may be free.
        if (tries >= TRIES_MAX || !String(error).includes('is in use')) throw error;
      }
    }
  }

  private static async startAt(port: number, shape: Shape): Promise<Cluster> {
    const { masters = 3, workers = 2, executor = 'process', secured = false } = shape;
    const counts = ['--masters', String(masters), '--workers', String(workers)];
    const args = ['dev', '--base-port', String(port), ...counts, '--executor', executor];
    const dev = spawn(program('clusterctl'), secured ? args : [...args, '--insecure'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said = await told(dev, 'stop everything:');
    const lines = said.matchAll(/^master-(\d+)\s+(\d+)\s+\S+\s+(\S+:\d+)/gm);
    const found = [...lines].map((m) => [Number(m[1]), { pid: Number(m[2]), http: m[3] ?? '' }] as const);
    return new Cluster(dev, new Map(found), secured ? 'https' : 'http', said);
  }

  url(master: number): string {
    return `${this.scheme}://${this.masters.get(master)?.http}`;
  }

  /** Address of the page: that of the master, which is to serve it. */
  async page(master: number): Promise<string> {
    const answer = await fetch(`${this.url(master)}/`).catch(() => null);
    if (answer?.ok) {
      const isCurrent = (await answer.text()) === (await readFile(new URL('index.html', DIST), 'utf8'));
      if (!isCurrent) console.log('these programs serve another build of the page than dashboard/dist');
      return this.url(master);
    }
    // This build of the master serves no page: the same files, before the same master.
    console.log('SKIPPED the page as a master serves it: these programs serve none');
    const front = await serveDist(this.url(master));
    this.fronts.push(front.close);
    return front.url;
  }

  async api<T = unknown>(method: string, path: string, body?: unknown, master = 1): Promise<T> {
    const headers = { 'content-type': 'application/json' };
    const init: RequestInit = { method, headers };
    if (body !== undefined) init.body = JSON.stringify(body);
    const answer = await fetch(this.url(master) + path, init);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return (text === '' ? null : JSON.parse(text)) as T;
  }

  async submit(task: Record<string, unknown>): Promise<string> {
    return (await this.api<{ task_id: string }>('POST', '/api/tasks', task)).task_id;
  }

  async leader(of = 1): Promise<number> {
    const status = await this.api<{ leader_id: number }>('GET', '/api/cluster', undefined, of);
    return status.leader_id;
  }

  kill(master: number): void {
    const started = this.masters.get(master);
    if (started) process.kill(started.pid, 'SIGKILL');
  }

  async stop(): Promise<void> {
    for (const close of this.fronts) await close();
    if (this.dev.exitCode !== null) return;
    const ended = new Promise((resolve) => this.dev.once('exit', resolve));
    this.dev.kill('SIGINT');
    await ended;
  }
}

export function program(name: string): string {
  const bin = process.env.CLOUDAI_BIN;
  if (!bin) throw new Error('CLOUDAI_BIN is to name the directory of the programs');
  return join(bin, name);
}

/** Waits until a process has said something, and returns all that it has said. */
function told(child: ChildProcess, words: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    const fail = (why: string) => reject(new Error(`${why}:\n${said}`));
    const timer = setTimeout(() => fail('the cluster is not up in time'), START_MS);
    child.once('exit', (code) => fail(`clusterctl dev has ended with ${code}`));
    for (const output of [child.stdout, child.stderr]) {
      output?.on('data', (data) => {
        said += data;
        if (!said.includes(words)) return;
        clearTimeout(timer);
        resolve(said);
      });
    }
  });
}
