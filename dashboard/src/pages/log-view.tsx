// The output of a task, as it is written.
import { useEffect, useRef, useState } from 'preact/hooks';
import { send } from '../api/client';
import { ProblemError } from '../api/problem';
import type { Attempt } from '../api/types';
import { count } from '../format';
import { Failure, Panel } from '../ui/basics';
import { LINES_MAX, LogBuffer } from './log-buffer';

/** The page is drawn no more often than this, however fast a task writes. */
const DRAW_MS = 150;
const PAUSE_MS = 2_000;

interface LogProps {
  id: string;
  attempts: Attempt[];
  isOver: boolean;
}

export function LogView({ id, attempts, isOver }: LogProps) {
  const [attempt, setAttempt] = useState(0);
  const [stream, setStream] = useState('');
  const [isPinned, setPinned] = useState(true);
  const box = useRef<HTMLPreElement>(null);
  const hasBegun = attempts.length > 0;
  const log = useLog(id, attempt, stream, hasBegun, isOver);

  useEffect(() => {
    if (isPinned && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [log.text, isPinned]);

  return (
    <Panel
      title="Output"
      aside={
        <>
          <span class={log.isFollowing ? 'ink-green' : 'muted'} role="status">
            {log.isFollowing ? 'following' : isOver ? 'complete' : 'not connected'}
          </span>
          <label class="inline">
            <span>Attempt</span>
            <select value={attempt} onChange={(event) => setAttempt(Number(event.currentTarget.value))}>
              <option value={0}>last</option>
              {attempts.map((each) => (
                <option key={each.number} value={each.number}>
                  {each.number}
                </option>
              ))}
            </select>
          </label>
          <label class="inline">
            <span>Stream</span>
            <select value={stream} onChange={(event) => setStream(event.currentTarget.value)}>
              <option value="">both</option>
              <option value="stdout">stdout</option>
              <option value="stderr">stderr</option>
            </select>
          </label>
          <label class="inline">
            <input
              type="checkbox"
              checked={isPinned}
              onChange={(event) => setPinned(event.currentTarget.checked)}
            />
            <span>Keep at the end</span>
          </label>
        </>
      }
    >
      <Failure error={log.error} what="The output cannot be read" />
      {log.dropped > 0 && <p class="muted">{count(log.dropped)} earlier lines are not shown.</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a frame that scrolls has to be reached by keyboard */}
      <pre class="log" ref={box} tabIndex={0} role="region" aria-label="Output of the task">
        {log.text || (hasBegun ? (log.isFollowing ? '' : 'No output.') : 'No attempt has begun.')}
      </pre>
    </Panel>
  );
}

interface Log {
  text: string;
  dropped: number;
  isFollowing: boolean;
  error: unknown;
}

/** Reads the log from its end on, and connects again while the task is not over. */
function useLog(id: string, attempt: number, stream: string, hasBegun: boolean, isOver: boolean): Log {
  const nothing: Log = { text: '', dropped: 0, isFollowing: false, error: undefined };
  const [log, setLog] = useState<Log>(nothing);
  const over = useRef(isOver);
  over.current = isOver;

  useEffect(() => {
    setLog(nothing);
    if (!hasBegun) return;
    const abort = new AbortController();
    const params = new URLSearchParams({ follow: 'true', tail: String(LINES_MAX) });
    if (attempt > 0) params.set('attempt', String(attempt));
    if (stream) params.set('stream', stream);
    const path = `/api/tasks/${encodeURIComponent(id)}/logs?${params}`;
    // The log of one attempt ends with it; that of all ends with the task.
    void followLog(path, abort.signal, () => over.current || attempt > 0, setLog);
    return () => abort.abort();
  }, [id, attempt, stream, hasBegun]);
  return log;
}

async function followLog(
  path: string,
  signal: AbortSignal,
  isOver: () => boolean,
  show: (log: Log) => void,
): Promise<void> {
  while (!signal.aborted) {
    // Offsets are not known here, so a new connection begins with the end of the log again.
    const buffer = new LogBuffer();
    const state = { isFollowing: true, error: undefined as unknown };
    const draw = () => show({ text: buffer.text, dropped: buffer.dropped, ...state });
    const timer = setInterval(draw, DRAW_MS);
    try {
      const response = await send(path, { signal, headers: { accept: 'text/plain' } });
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
        if (done) break;
        buffer.push(value);
      }
    } catch (error) {
      state.error = error;
    } finally {
      clearInterval(timer);
      state.isFollowing = false;
    }
    if (signal.aborted) return;
    draw();
    const isBroken = state.error !== undefined && !(state.error instanceof ProblemError);
    if (isOver() && !isBroken) return;
    await new Promise((resume) => setTimeout(resume, PAUSE_MS));
  }
}
