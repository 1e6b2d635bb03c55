// Small parts that all pages use.
import type { ComponentChildren, JSX } from 'preact';
import { ProblemError, wordsOf } from '../api/problem';
import { clock, span } from '../format';
import { now } from '../live/clock';
import type { Resource } from '../live/resource';

/** Tone of each state that a task, a worker, a schedule or a job can have. */
const TONES: Record<string, string> = {
  running: 'info',
  assigned: 'info',
  queued: 'wait',
  scheduled: 'wait',
  blocked: 'wait',
  cancelling: 'warn',
  completed: 'good',
  failed: 'bad',
  aborted: 'bad',
  cancelled: 'off',
  active: 'good',
  inactive: 'bad',
  unreachable: 'bad',
  unfit: 'bad',
  draining: 'warn',
  drained: 'warn',
  cordoned: 'warn',
  departed: 'off',
  leader: 'lead',
  follower: 'good',
  learner: 'info',
  candidate: 'warn',
  stopped: 'bad',
  unknown: 'bad',
  paused: 'warn',
  started: 'good',
  waiting: 'wait',
  skipped: 'off',
  missed: 'bad',
  refused: 'bad',
  'start-failed': 'bad',
  'worker-unfit': 'bad',
  lost: 'bad',
};

export function State({ name, title }: { name: string; title?: string | undefined }) {
  return (
    <span class={`state tone-${TONES[name] ?? 'off'}`} title={title}>
      {name}
    </span>
  );
}

export function Chip({ children }: { children: ComponentChildren }) {
  return <span class="chip">{children}</span>;
}

interface PanelProps {
  title: string;
  /** What stands beside the title. */
  aside?: ComponentChildren;
  children: ComponentChildren;
  class?: string;
}

export function Panel({ title, aside, children, class: name = '' }: PanelProps) {
  const id = `panel-${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`;
  return (
    <section class={`panel ${name}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside && <div class="aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** A failure, with what the server has said. */
export function Failure({ error, what }: { error: unknown; what?: string }) {
  if (error === undefined || error === null) return null;
  const problem = error instanceof ProblemError ? error.problem : null;
  return (
    <div class="notice bad" role="alert">
      <strong>{what ?? problem?.title ?? 'Failed'}</strong>
      <span>{wordsOf(error)}</span>
      {problem?.request_id && <small>request {problem.request_id}</small>}
    </div>
  );
}

/** Says how old what is shown may be, if it is not what the cluster has now. */
export function Freshness({ of, everyMs }: { of: Resource<unknown>; everyMs: number }) {
  if (of.at === undefined) return of.error ? null : <span class="muted">loading…</span>;
  const age = now.value - of.at;
  if (of.staleMs !== null) {
    return (
      <span class="stale-note">as of {clock(of.at - of.staleMs)}: this master does not hear a leader</span>
    );
  }
  if (of.error || age > 2 * everyMs + 3_000) {
    return (
      <span class="stale-note">
        as of {clock(of.at)}, {span(Math.max(0, Math.floor(age / 1_000) * 1_000))} ago
      </span>
    );
  }
  return null;
}

interface FactsProps {
  of: [string, ComponentChildren][];
}

export function Facts({ of }: FactsProps) {
  return (
    <dl class="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Tile({
  name,
  value,
  tone,
  href,
  pressed,
  onClick,
}: {
  name: string;
  value: ComponentChildren;
  tone?: string;
  href?: string;
  pressed?: boolean;
  onClick?: () => void;
}) {
  const inner = (
    <>
      <span class="tile-name">{name}</span>
      <span class="tile-value">{value}</span>
    </>
  );
  const look = `tile ${tone ? `edge-${tone}` : ''}`;
  if (onClick) {
    return (
      <button type="button" class={look} aria-pressed={pressed ?? false} onClick={onClick}>
        {inner}
      </button>
    );
  }
  return href ? (
    <a class={look} href={href}>
      {inner}
    </a>
  ) : (
    <div class={look}>{inner}</div>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** A table that scrolls within its frame where the screen is narrow, by keyboard, too. */
export function Table({
  label,
  head,
  children,
}: {
  label: string;
  head: (string | JSX.Element)[];
  children: ComponentChildren;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a frame that scrolls has to be reached by keyboard
    <div class="table-frame" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {head.map((name, at) => (
              <th key={typeof name === 'string' ? name : at} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

export function Meter({ value, label }: { value: number; label: string }) {
  const shown = Math.min(100, Math.max(0, value));
  const tone = shown >= 90 ? 'bad' : shown >= 75 ? 'warn' : 'info';
  return (
    <span class={`meter tone-${tone}`} role="img" aria-label={`${label}: ${Math.round(shown)} %`}>
      <span style={{ width: `${shown}%` }} />
    </span>
  );
}

/** The course of some values, as wide as a word. */
export function Spark({ values, label }: { values: readonly number[]; label: string }) {
  const [width, height] = [72, 18];
  const step = values.length > 1 ? width / (values.length - 1) : width;
  const y = (value: number) => height - 1 - (Math.min(100, Math.max(0, value)) / 100) * (height - 2);
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      role="img"
      aria-label={label}
    >
      {values.length > 1 && <polyline points={points} fill="none" />}
    </svg>
  );
}

export function Time({ at }: { at: string | null | undefined }) {
  if (!at) return <span class="muted">–</span>;
  return (
    <time dateTime={at} title={at}>
      {clock(at, now.value)}
    </time>
  );
}
