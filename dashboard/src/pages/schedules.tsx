// Schedules: when they run next, and what became of their runs.
import { useState } from 'preact/hooks';
import { newKey, order, read } from '../api/client';
import type { NextRuns, Schedule, SchedulePage } from '../api/types';
import { ago, commandLine, count, plural } from '../format';
import { now } from '../live/clock';
import { useResource } from '../live/resource';
import { ticks } from '../live/store';
import { hashOf, route } from '../router';
import { refusalFor } from '../session';
import { Empty, Facts, Failure, Freshness, Panel, State, Table, Time } from '../ui/basics';
import { Confirm } from '../ui/dialog';
import { say } from '../ui/toast';

const EVERY_MS = 5_000;
const ROWS = 50;
const NEXT_SHOWN = 5;

export function SchedulesPage() {
  const cursor = route.value.params.get('cursor');
  const query = `/api/schedules?limit=${ROWS}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`;
  const page = useResource<SchedulePage>(query, (signal) => read(query, signal), {
    everyMs: EVERY_MS,
    on: [ticks.schedules],
  });
  const schedules = page.data?.schedules ?? [];
  return (
    <>
      <div class="page-head">
        <h1>Schedules</h1>
        <Freshness of={page} everyMs={EVERY_MS} />
      </div>
      <Failure error={page.error} what="The schedules cannot be read" />
      <Panel title="All schedules" aside={cursor && <a href={hashOf(['schedules'])}>To the first</a>}>
        {page.data && schedules.length === 0 ? (
          <Empty>
            There is none yet. <code>clusterctl schedule create nightly --cron '@daily' -- backup</code> makes
            one.
          </Empty>
        ) : (
          <Table
            label="Schedules"
            head={['Schedule', 'State', 'When', 'Next run', 'Last task', 'Started', 'Missed', 'Orders']}
          >
            {schedules.map((schedule) => (
              <Row key={schedule.name} schedule={schedule} reload={page.reload} />
            ))}
          </Table>
        )}
        <footer>
          <span class="muted">{page.data && `${plural(schedules.length, 'schedule')} on this page`}</span>
          {page.data?.next_cursor && (
            <a
              class="button"
              href={hashOf(['schedules'], new URLSearchParams({ cursor: page.data.next_cursor }))}
            >
              Further
            </a>
          )}
        </footer>
      </Panel>
    </>
  );
}

function Row({ schedule, reload }: { schedule: Schedule; reload: () => void }) {
  return (
    <tr class={schedule.paused ? 'dim' : ''}>
      <th scope="row">
        <a href={hashOf(['schedules', schedule.name])}>{schedule.name}</a>
      </th>
      <td>
        <State name={schedule.paused ? 'paused' : 'active'} />
        {schedule.waiting_at && <small class="muted"> a run waits</small>}
      </td>
      <td>
        <code>{schedule.cron}</code> <small class="muted">{schedule.time_zone}</small>
      </td>
      <td class="num">{schedule.paused ? '–' : ago(schedule.next_at, now.value)}</td>
      <td>
        {schedule.last_task_id ? (
          <a href={hashOf(['tasks', schedule.last_task_id])}>{schedule.last_task_id}</a>
        ) : (
          '–'
        )}
      </td>
      <td class="num">{count(schedule.started)}</td>
      <td class={`num ${schedule.missed > 0 ? 'ink-red' : ''}`}>{count(schedule.missed)}</td>
      <td>
        <Orders schedule={schedule} reload={reload} isSmall />
      </td>
    </tr>
  );
}

type Name = 'run' | 'pause' | 'resume' | 'delete';

const WORDS: Record<Name, { label: string; explanation: string; done: string }> = {
  run: {
    label: 'Run now',
    explanation: 'A run starts once more, now. The times of the schedule stay as they are.',
    done: 'a run is started',
  },
  pause: { label: 'Pause', explanation: 'Nothing is started until it is resumed.', done: 'is paused' },
  resume: {
    label: 'Resume',
    explanation: 'Runs that came due in between start, or are missed, as the catch-up window says.',
    done: 'is resumed',
  },
  delete: {
    label: 'Delete',
    explanation: 'It cannot be taken back. The tasks of its runs stay.',
    done: 'is deleted',
  },
};

function Orders({
  schedule,
  reload,
  isSmall = false,
}: {
  schedule: Schedule;
  reload: () => void;
  isSmall?: boolean;
}) {
  const [asked, setAsked] = useState<{ name: Name; key: string } | null>(null);
  const refusal = refusalFor('submitter');
  const path = `/api/schedules/${encodeURIComponent(schedule.name)}`;
  const names: Name[] = ['run', schedule.paused ? 'resume' : 'pause', 'delete'];
  async function act(name: Name, key: string, reason: string) {
    const options = name === 'run' ? { reason, idempotencyKey: key } : { reason };
    if (name === 'delete') await order('DELETE', path, options);
    else await order('POST', `${path}/${name}`, options);
    say(`${schedule.name}: ${WORDS[name].done}.`);
    reload();
  }
  return (
    <div class={`actions ${isSmall ? 'small' : ''}`}>
      {names.map((name) => (
        <button
          key={name}
          type="button"
          disabled={refusal !== null}
          title={refusal ?? WORDS[name].explanation}
          aria-label={`${WORDS[name].label} ${schedule.name}`}
          onClick={() => setAsked({ name, key: newKey() })}
        >
          {WORDS[name].label}
        </button>
      ))}
      {asked && (
        <Confirm
          title={`${WORDS[asked.name].label}: ${schedule.name}`}
          verb={WORDS[asked.name].label}
          isDangerous={asked.name === 'delete'}
          act={(reason) => act(asked.name, asked.key, reason)}
          onClose={() => setAsked(null)}
          {...(asked.name === 'delete' ? { word: schedule.name } : {})}
        >
          <p>{WORDS[asked.name].explanation}</p>
        </Confirm>
      )}
    </div>
  );
}

export function ScheduleDetail({ name }: { name: string }) {
  const path = `/api/schedules/${encodeURIComponent(name)}`;
  const resource = useResource<Schedule>(path, (signal) => read(path, signal), {
    everyMs: EVERY_MS,
    on: [ticks.schedules],
    gapMs: 1_000,
  });
  const next = useResource<NextRuns>(
    `${path}/next`,
    (signal) => read(`${path}/next?count=${NEXT_SHOWN}`, signal),
    { everyMs: 15_000 },
  );
  const schedule = resource.data;
  return (
    <>
      <div class="page-head">
        <h1>
          <a href={hashOf(['schedules'])}>Schedules</a> / {name}
        </h1>
        {schedule && <State name={schedule.paused ? 'paused' : 'active'} />}
        <Freshness of={resource} everyMs={EVERY_MS} />
        {schedule && <Orders schedule={schedule} reload={resource.reload} />}
      </div>
      <Failure error={resource.error} what="The schedule cannot be read" />
      {schedule && (
        <Panel title="Schedule">
          <Facts
            of={[
              ['Expression', <code key="cron">{schedule.cron}</code>],
              ['Time zone', schedule.time_zone],
              ['Overlap', schedule.overlap.replaceAll('_', ' ')],
              ['Catch-up window', schedule.catch_up_window],
              ['Command', <code key="command">{commandLine(schedule.task?.command ?? [])}</code>],
              ['Started', count(schedule.started)],
              ['Left out', count(schedule.skipped)],
              ['Missed', count(schedule.missed)],
              ['Changed', <Time key="changed" at={schedule.changed_at} />],
            ]}
          />
        </Panel>
      )}
      <div class="columns">
        <Panel
          title="Next runs"
          aside={schedule?.paused && <span class="stale-note">none while it is paused</span>}
        >
          <Failure error={next.error} />
          <ul class="plain">
            {(next.data?.runs ?? []).map((run) => (
              <li key={run.at}>
                <time dateTime={run.at}>{run.local}</time> <span class="muted">{ago(run.at, now.value)}</span>
              </li>
            ))}
          </ul>
        </Panel>
        <Panel title="Latest runs">{schedule && <Runs schedule={schedule} />}</Panel>
      </div>
    </>
  );
}

function Runs({ schedule }: { schedule: Schedule }) {
  if (schedule.runs.length === 0) return <Empty>It has not run yet.</Empty>;
  return (
    <Table label="Latest runs" head={['Due', 'Outcome', 'Task', 'Detail']}>
      {[...schedule.runs].reverse().map((run) => (
        <tr key={`${run.at}-${run.decided_at}`}>
          <td>
            <Time at={run.at} />
          </td>
          <td>
            <State name={run.outcome} />
          </td>
          <td>{run.task_id ? <a href={hashOf(['tasks', run.task_id])}>{run.task_id}</a> : '–'}</td>
          <td>
            {run.manual && 'ordered by hand '}
            {run.missed !== null && `${plural(run.missed, 'run')} in a row `}
            {run.reason}
          </td>
        </tr>
      ))}
    </Table>
  );
}
