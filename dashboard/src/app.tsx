// The frame around all pages: where one is, whether what is shown is live, and as whom one is here.
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { read, setToken, token } from './api/client';
import type { ClusterStatus } from './api/types';
import { clock, span } from './format';
import licenses from './licenses.txt?url';
import { now } from './live/clock';
import { type Resource, useResource } from './live/resource';
import { stream, ticks } from './live/store';
import mark from './mark.svg?url';
import { ClusterPage, STATUS_EVERY_MS } from './pages/cluster';
import { JobsPage } from './pages/jobs';
import { ScheduleDetail, SchedulesPage } from './pages/schedules';
import { SubmitPage } from './pages/submit';
import { TaskPage } from './pages/task';
import { TasksPage } from './pages/tasks';
import { WorkerPage } from './pages/worker';
import { WorkersPage } from './pages/workers';
import { hashOf, route } from './router';
import { identity } from './session';
import { SignIn } from './sign-in';
import { nextTheme, theme } from './theme';
import { Empty } from './ui/basics';
import { Toasts } from './ui/toast';

/** Breaks that are shorter are not worth a banner. */
const BREAK_SHOWN_MS = 1_500;

const PAGES: { name: string; title: string; icon: string }[] = [
  {
    name: 'cluster',
    title: 'Cluster',
    icon: 'M12 4a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5M5.5 15a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5m13 0a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5M11 9l-4 6m6-6 4 6m-9 2.5h8',
  },
  { name: 'workers', title: 'Workers', icon: 'M4 5h16v5H4zm0 9h16v5H4zM7.5 7.5h.01M7.5 16.5h.01' },
  { name: 'tasks', title: 'Tasks', icon: 'M9 6h11M9 12h11M9 18h11M4 6l1 1 2-2M4 12l1 1 2-2M4 18l1 1 2-2' },
  {
    name: 'schedules',
    title: 'Schedules',
    icon: 'M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17M12 8v4.5l3 2',
  },
  { name: 'jobs', title: 'Jobs', icon: 'M4 7h16M4 12h10M4 17h6m8-3v6m-3-3h6' },
];

export function App() {
  const status = useResource<ClusterStatus>('cluster', (signal) => read('/api/cluster', signal), {
    everyMs: STATUS_EVERY_MS,
    on: [ticks.cluster],
    gapMs: 300,
  });
  const [name = 'cluster', id] = route.value.parts;
  const title = PAGES.find((page) => page.name === name)?.title ?? 'CloudAI';
  useEffect(() => {
    document.title = `${id ? `${id} · ` : ''}${title} · ${status.data?.cluster_name ?? 'CloudAI'}`;
  }, [id, title, status.data?.cluster_name]);
  const isStale = isBroken();
  return (
    <>
      <button type="button" class="skip" onClick={skip}>
        To the content
      </button>
      <Header status={status} />
      <Nav name={name === 'submit' ? 'tasks' : name} />
      <main id="main" tabIndex={-1} class={isStale ? 'is-stale' : ''}>
        <Connection status={status.data} />
        {pageOf(name, id, status)}
      </main>
      <SignIn />
      <Toasts />
    </>
  );
}

/** A link would need the hash, which is the address of the page. */
function skip() {
  document.getElementById('main')?.focus();
}

function pageOf(name: string, id: string | undefined, status: Resource<ClusterStatus>): JSX.Element {
  switch (name) {
    case 'cluster':
      return <ClusterPage status={status} />;
    case 'workers':
      return id ? <WorkerPage key={id} id={id} /> : <WorkersPage />;
    case 'tasks':
      return id ? <TaskPage key={id} id={id} /> : <TasksPage status={status} />;
    case 'submit':
      return <SubmitPage />;
    case 'schedules':
      return id ? <ScheduleDetail key={id} name={id} /> : <SchedulesPage />;
    case 'jobs':
      return <JobsPage />;
    default:
      return (
        <Empty>
          There is no such page. <a href={hashOf(['cluster'])}>To the cluster</a>
        </Empty>
      );
  }
}

function Header({ status }: { status: Resource<ClusterStatus> }) {
  const cluster = status.data;
  return (
    <header class="top">
      <a class="brand" href={hashOf(['cluster'])}>
        <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
          <use href={`${mark}#mark`} />
        </svg>
        <b>{cluster?.cluster_name ?? 'CloudAI'}</b>
      </a>
      {cluster && <span class="muted on-wide">by master {cluster.node_id}</span>}
      <Pulse />
      <span class="grow" />
      <WhoAmI />
      <button
        type="button"
        class="quiet"
        onClick={nextTheme}
        aria-label={`Colors: ${theme.value}. Change them`}
      >
        {theme.value === 'auto' ? '◐' : theme.value === 'light' ? '☀' : '☾'}
        <span class="on-wide"> {theme.value}</span>
      </button>
    </header>
  );
}

function WhoAmI() {
  const me = identity.value;
  return (
    <span class="who">
      {me && (
        <span class="on-wide" title={me.scope ? `scope ${me.scope}` : ''}>
          {me.principal} <small class="muted">{me.role || 'no role'}</small>
        </span>
      )}
      {token.value && (
        <button type="button" class="quiet" onClick={() => setToken(null)}>
          Sign out
        </button>
      )}
    </span>
  );
}

function isBroken(): boolean {
  const state = stream.state.value;
  return state.kind === 'disconnected' && now.value - state.since > BREAK_SHOWN_MS;
}

/** Says in a word whether events arrive. */
function Pulse() {
  const state = stream.state.value;
  const words = { live: 'live', connecting: 'connecting', paused: 'paused', disconnected: 'disconnected' }[
    state.kind
  ];
  const tone = { live: 'good', connecting: 'wait', paused: 'warn', disconnected: 'bad' }[state.kind];
  return (
    <span class={`state tone-${tone}`} role="status" data-testid="pulse">
      {words}
    </span>
  );
}

/** Says since when nothing new has come, and where else the cluster can be watched. */
function Connection({ status }: { status: ClusterStatus | undefined }) {
  const state = stream.state.value;
  if (state.kind !== 'disconnected' || !isBroken()) return null;
  const others = (status?.members ?? []).filter(
    (member) => member.http_address && member.id !== status?.node_id,
  );
  const age = Math.floor((now.value - state.since) / 1_000) * 1_000;
  return (
    <div class="notice bad">
      <strong>Disconnected since {clock(state.since)}</strong>
      <span>
        {span(age)} without events: {state.why}. What is shown may be outdated.
      </span>
      <button type="button" onClick={() => stream.reconnectNow()}>
        Try now
      </button>
      {others.map((member) => (
        <a key={member.id} href={`${location.protocol}//${member.http_address}/${location.hash}`}>
          master {member.id}
        </a>
      ))}
    </div>
  );
}

function Nav({ name }: { name: string }) {
  return (
    <nav class="side" aria-label="Pages">
      {PAGES.map((page) => (
        <a key={page.name} href={hashOf([page.name])} aria-current={page.name === name ? 'page' : undefined}>
          <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
            <path d={page.icon} />
          </svg>
          <span>{page.title}</span>
        </a>
      ))}
      <a class="about on-wide" href={licenses}>
        Licenses
      </a>
    </nav>
  );
}
