// Connection to the events of the master that has served the page. It is made again whenever it breaks, and
// goes on after the last event that has arrived.
import { type Signal, signal } from '@preact/signals';
import { send, signInReason, token } from '../api/client';
import { ProblemError, wordsOf } from '../api/problem';
import { currentTime } from './clock';
import { type ClusterEvent, parseEvent } from './events';
import { pauseAfter } from './pause';
import { SseParser } from './sse';

/** A master sends a comment after 15 s of silence. */
const SILENCE_MAX_MS = 25_000;
/** A tab that nobody sees gives its connection back: browsers allow six to one server. */
const HIDDEN_MAX_MS = 60_000;

export type StreamState =
  | { kind: 'connecting' }
  | { kind: 'live'; since: number }
  | { kind: 'paused'; since: number }
  | { kind: 'disconnected'; since: number; why: string };

export interface Listener {
  onEvent(event: ClusterEvent): void;
  /** Events were missed, or may have been: what was read before has to be read again. */
  onGap(): void;
}

export class EventStream {
  readonly state: Signal<StreamState> = signal<StreamState>({ kind: 'connecting' });
  private lastIndex: string | null = null;
  private failures = 0;
  private attempt: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private hiddenTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly listener: Listener) {}

  start(): void {
    document.addEventListener('visibilitychange', () => this.onVisibility());
    window.addEventListener('online', () => this.reconnectNow());
    token.subscribe(() => this.reconnectNow());
  }

  reconnectNow(): void {
    clearTimeout(this.timer);
    this.attempt?.abort();
    void this.connect();
  }

  private onVisibility(): void {
    clearTimeout(this.hiddenTimer);
    if (document.visibilityState === 'hidden') {
      this.hiddenTimer = setTimeout(() => this.pause(), HIDDEN_MAX_MS);
    } else if (this.state.value.kind === 'paused') {
      this.reconnectNow();
    }
  }

  private pause(): void {
    clearTimeout(this.timer);
    this.attempt?.abort();
    this.attempt = null;
    this.state.value = { kind: 'paused', since: currentTime() };
  }

  private async connect(): Promise<void> {
    const attempt = new AbortController();
    this.attempt = attempt;
    let why = 'the connection was closed';
    try {
      why = await this.follow(attempt);
    } catch (error) {
      why =
        attempt.signal.reason instanceof Error && attempt.signal.reason.name === 'TimeoutError'
          ? 'nothing was heard for 25 s'
          : wordsOf(error);
      this.onRefusal(error);
    }
    // Whoever has begun another attempt, or paused, has also said how it stands.
    if (this.attempt === attempt) this.onBroken(why);
  }

  /** Index of another cluster's log, or of a time before a restoration: it means nothing here. */
  private onRefusal(error: unknown): void {
    if (error instanceof ProblemError && error.status === 409) this.lastIndex = null;
  }

  private onBroken(why: string): void {
    this.failures += 1;
    const before = this.state.value;
    const since = before.kind === 'disconnected' ? before.since : currentTime();
    this.state.value = { kind: 'disconnected', since, why };
    // Without a token every further attempt would be refused, too.
    if (signInReason.value !== null) return;
    this.timer = setTimeout(() => void this.connect(), pauseAfter(this.failures));
  }

  /** Reads events until the stream ends, and returns why it did. */
  private async follow(attempt: AbortController): Promise<string> {
    const watchdog = new Watchdog(attempt);
    try {
      watchdog.pat();
      const headers = this.lastIndex === null ? {} : { 'last-event-id': this.lastIndex };
      const accept = { accept: 'text/event-stream', ...headers };
      const response = await send('/api/events', { headers: accept, signal: attempt.signal });
      if (!response.body) return 'the master sends no events';
      const isResumed = this.lastIndex !== null;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new SseParser();
      for (let isFirst = true; ; isFirst = false) {
        const { value, done } = await reader.read();
        if (done) return 'the master closed the connection';
        watchdog.pat();
        if (isFirst) this.onOpen(isResumed);
        for (const message of parser.push(value)) {
          const closed = this.take(message.id, message.data);
          if (closed !== null) return closed;
        }
      }
    } finally {
      watchdog.stop();
      attempt.abort();
    }
  }

  private onOpen(isResumed: boolean): void {
    this.failures = 0;
    this.state.value = { kind: 'live', since: currentTime() };
    if (!isResumed) this.listener.onGap();
  }

  private take(id: string | null, data: string | null): string | null {
    const event = data === null ? null : parseEvent(data);
    if (event?.type === 'closed') return String((event as { reason?: unknown }).reason ?? 'closed');
    if (event?.type === 'compacted') this.listener.onGap();
    else if (event) this.listener.onEvent(event);
    if (id !== null && id !== '') this.lastIndex = id;
    return null;
  }
}

class Watchdog {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly attempt: AbortController) {}

  pat(): void {
    clearTimeout(this.timer);
    const silence = () => this.attempt.abort(new DOMException('silence', 'TimeoutError'));
    this.timer = setTimeout(silence, SILENCE_MAX_MS);
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
