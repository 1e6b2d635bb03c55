// Reads something again and again: at intervals, and when events say that it has changed.
import type { ReadonlySignal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Answer, signInReason, token } from '../api/client';
import { currentTime } from './clock';
import { ticks } from './store';

export interface Resource<T> {
  /** What was read last; undefined before the first answer. */
  data: T | undefined;
  /** Why the last attempt has failed; undefined if it has not. */
  error: unknown;
  /** Time of the last answer. */
  at: number | undefined;
  staleMs: number | null;
  /** Reads at once. */
  reload: () => void;
}

interface Plan {
  /** Interval at which it is read anyway. */
  everyMs: number;
  /** Signals after which it is read. */
  on?: readonly ReadonlySignal<number>[];
  /** Shortest time between two reads that events bring about. */
  gapMs?: number;
}

type State<T> = Omit<Resource<T>, 'reload'>;

/** What is read anew takes at least so many times as long as the last read has taken. */
const REST_FACTOR = 5;

/** Reads by `load`; another `key` is another thing, of which nothing is known yet. */
export function useResource<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<Answer<T>>,
  plan: Plan,
): Resource<T> {
  const nothing: State<T> = { data: undefined, error: undefined, at: undefined, staleMs: null };
  const [state, setState] = useState<{ key: string; state: State<T> }>({ key, state: nothing });
  const latest = useRef({ load, plan });
  latest.current = { load, plan };
  const reload = useRef<() => void>(() => undefined);

  useEffect(() => {
    const reading = new Reading<T>(
      (signal) => latest.current.load(signal),
      plan,
      (change) =>
        setState((held) => ({ key, state: { ...(held.key === key ? held.state : nothing), ...change } })),
    );
    reload.current = () => reading.now();
    const stops = [...(plan.on ?? []), ticks.gap, token].map((tick) => {
      let isFirst = true;
      return (tick as ReadonlySignal<unknown>).subscribe(() => {
        if (!isFirst) reading.soon();
        isFirst = false;
      });
    });
    reading.now();
    return () => {
      for (const stop of stops) stop();
      reading.stop();
    };
  }, [key]);

  const shown = state.key === key ? state.state : nothing;
  return { ...shown, reload: () => reload.current() };
}

/** One thing that is read, never twice at the same time. */
class Reading<T> {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private abort: AbortController | null = null;
  private isWanted = false;
  private isStopped = false;
  private endedAt = 0;
  private tookMs = 0;

  constructor(
    private readonly load: (signal: AbortSignal) => Promise<Answer<T>>,
    private readonly plan: Plan,
    private readonly tell: (change: Partial<State<T>>) => void,
  ) {}

  now(): void {
    if (this.abort) {
      this.isWanted = true;
      return;
    }
    clearTimeout(this.timer);
    void this.read();
  }

  soon(): void {
    if (this.abort) {
      this.isWanted = true;
      return;
    }
    const gap = Math.max(this.plan.gapMs ?? 500, this.tookMs * REST_FACTOR);
    this.schedule(Math.max(0, this.endedAt + gap - performance.now()));
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.abort?.abort();
  }

  private schedule(delay: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      // Nobody looks, or nothing would be shown without a token.
      if (document.visibilityState === 'hidden' || signInReason.value !== null) this.schedule(1_000);
      else void this.read();
    }, delay);
  }

  private async read(): Promise<void> {
    const abort = new AbortController();
    this.abort = abort;
    this.isWanted = false;
    const began = performance.now();
    try {
      const answer = await this.load(abort.signal);
      if (this.isStopped) return;
      this.tell({ data: answer.body, error: undefined, at: currentTime(), staleMs: answer.staleMs });
    } catch (error) {
      if (this.isStopped) return;
      this.tell({ error });
    } finally {
      this.abort = null;
      this.endedAt = performance.now();
      this.tookMs = this.endedAt - began;
    }
    if (this.isWanted) this.soon();
    else this.schedule(this.plan.everyMs);
  }
}
