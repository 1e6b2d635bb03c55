// The queue by state, and pages of tasks.
import { useEffect, useState } from 'preact/hooks';
import { read } from '../api/client';
import {
  type ClusterStatus,
  FINAL_STATES,
  LIVE_STATES,
  type QueueSummary,
  type TaskPage,
} from '../api/types';
import { ago, count, plural, resources } from '../format';
import { now } from '../live/clock';
import { type Resource, useResource } from '../live/resource';
import { ticks } from '../live/store';
import { type FilledPage, type Filter, fillPage, filterOf, isEmpty, NO_FILTER, paramsOf } from '../paging';
import { go, hashOf, route } from '../router';
import { refusalFor } from '../session';
import { Empty, Failure, Freshness, Panel, Table, Tile } from '../ui/basics';
import { BulkOrders } from './bulk-orders';
import { TaskRows } from './task-rows';

const ROWS = 50;
const EVERY_MS = 10_000;

export function TasksPage({ status }: { status: Resource<ClusterStatus> }) {
  const { params } = route.value;
  const filter = filterOf(params);
  const cursor = params.get('cursor');
  const query = paramsOf(filter);
  const page = useResource<FilledPage>(`${query}|${cursor}`, (signal) => readPage(query, cursor, signal), {
    // Further pages stand still, so that nobody loses the place; events bring their rows up to date.
    everyMs: cursor === null ? EVERY_MS : 60_000,
    on: cursor === null ? [ticks.tasks] : [],
    gapMs: 1_500,
  });

  function show(next: Filter) {
    go(hashOf(['tasks'], paramsOf(next)));
  }

  return (
    <>
      <div class="page-head">
        <h1>Tasks</h1>
        <Freshness of={page} everyMs={EVERY_MS} />
        <BulkOrders filter={filter} />
        <a class="button primary" href={hashOf(['submit'])} aria-disabled={refusalFor('submitter') !== null}>
          Submit a task
        </a>
      </div>
      <States filter={filter} counts={status.data?.tasks ?? {}} show={show} />
      <Failure error={page.error} what="The tasks cannot be read" />
      <Panel
        title="Tasks, newest first"
        aside={cursor !== null && <a href={hashOf(['tasks'], query)}>To the newest</a>}
      >
        <FilterBar filter={filter} show={show} />
        <List page={page} filter={filter} />
        <footer>
          <span class="muted">{page.data ? plural(page.data.tasks.length, 'task') : ''} on this page</span>
          {page.data?.nextCursor && (
            <a class="button" href={hashOf(['tasks'], withCursor(query, page.data.nextCursor))}>
              {page.data.isPartial ? 'Search on' : 'Older'}
            </a>
          )}
        </footer>
      </Panel>
      <Waiting />
    </>
  );
}

function withCursor(query: URLSearchParams, cursor: string): URLSearchParams {
  const next = new URLSearchParams(query);
  next.set('cursor', cursor);
  return next;
}

async function readPage(query: URLSearchParams, cursor: string | null, signal: AbortSignal) {
  let staleMs: number | null = null;
  const body = await fillPage(
    async (from, limit) => {
      const params = from === null ? new URLSearchParams(query) : withCursor(query, from);
      params.set('limit', String(limit));
      const answer = await read<TaskPage>(`/api/tasks?${params}`, signal);
      staleMs = answer.staleMs;
      return answer.body;
    },
    cursor,
    ROWS,
  );
  return { body, staleMs };
}

/** Numbers of live tasks, which choose what is listed. Finished ones are not counted by the cluster. */
function States({
  filter,
  counts,
  show,
}: {
  filter: Filter;
  counts: Record<string, number>;
  show: (filter: Filter) => void;
}) {
  const toggle = (name: string) => {
    const states = filter.states.includes(name)
      ? filter.states.filter((each) => each !== name)
      : [...filter.states, name];
    show({ ...filter, states });
  };
  return (
    <div class="tiles states" role="group" aria-label="Filter by state">
      {LIVE_STATES.map((name) => (
        <Tile
          key={name}
          name={name}
          value={count(counts[name] ?? 0)}
          pressed={filter.states.includes(name)}
          onClick={() => toggle(name)}
        />
      ))}
      {FINAL_STATES.map((name) => (
        <Tile
          key={name}
          name={name}
          value={<span class="muted">show</span>}
          tone={name === 'completed' ? 'good' : name === 'cancelled' ? 'off' : 'bad'}
          pressed={filter.states.includes(name)}
          onClick={() => toggle(name)}
        />
      ))}
    </div>
  );
}

function FilterBar({ filter, show }: { filter: Filter; show: (filter: Filter) => void }) {
  const [draft, setDraft] = useState(filter);
  const key = paramsOf(filter).toString();
  useEffect(() => setDraft(filter), [key]);
  const field = (
    name: 'namePrefix' | 'label' | 'worker' | 'priority',
    label: string,
    placeholder: string,
  ) => (
    <label class="inline">
      <span>{label}</span>
      <input
        value={draft[name]}
        placeholder={placeholder}
        inputMode={name === 'priority' ? 'numeric' : 'text'}
        onInput={(event) => setDraft({ ...draft, [name]: event.currentTarget.value })}
        autocomplete="off"
        spellcheck={false}
      />
    </label>
  );
  return (
    <form
      class="filter"
      onSubmit={(event) => {
        event.preventDefault();
        show({ ...draft, states: filter.states });
      }}
    >
      {field('namePrefix', 'Name begins with', 'train-')}
      {field('label', 'Label', 'team=x')}
      {field('worker', 'Worker', 'worker-1')}
      {field('priority', 'Priority', '0 to 100')}
      <button type="submit">Filter</button>
      {!isEmpty(filter) && (
        <button type="button" onClick={() => show(NO_FILTER)}>
          Clear
        </button>
      )}
    </form>
  );
}

function List({ page, filter }: { page: Resource<FilledPage>; filter: Filter }) {
  if (!page.data) return null;
  if (page.data.tasks.length > 0) return <TaskRows tasks={page.data.tasks} label="Tasks" />;
  if (page.data.isPartial) return <Empty>None among those that were looked at. The search can go on.</Empty>;
  return <Empty>{isEmpty(filter) ? 'No task was submitted yet.' : 'No task is like that.'}</Empty>;
}

/** What waits for a worker, and why. */
function Waiting() {
  const queue = useResource<QueueSummary>('queue', (signal) => read('/api/queue?limit=20', signal), {
    everyMs: 5_000,
    on: [ticks.tasks],
    gapMs: 2_000,
  });
  const classes = queue.data?.classes ?? [];
  const oldest = queue.data?.oldest_queued_at;
  return (
    <Panel
      title="What waits, and why"
      aside={
        oldest ? (
          <span class="muted">the oldest was queued {ago(oldest, now.value)}</span>
        ) : (
          <Freshness of={queue} everyMs={5_000} />
        )
      }
    >
      <Failure error={queue.error} />
      {queue.data && classes.length === 0 && <Empty>No task waits for a worker.</Empty>}
      {classes.length > 0 && (
        <Table
          label="Tasks that wait, by what they ask for"
          head={['Tasks', 'Priority', 'Needs', 'Next', 'Why it waits']}
        >
          {classes.map((each) => (
            <tr key={each.next_task_id}>
              <td class="num">{count(each.tasks)}</td>
              <td class="num">{each.priority}</td>
              <td>
                {resources(each.resources)}
                {each.worker_id && `, on ${each.worker_id}`}
                {each.constraints.map(
                  (constraint) =>
                    ` ${constraint.label} ${constraint.op} ${[constraint.value].flat().join(', ')}`,
                )}
              </td>
              <td>
                <a href={hashOf(['tasks', each.next_task_id])}>{each.next_task_id}</a>
              </td>
              <td class="text">{each.pending_reason ?? <span class="muted">its turn comes</span>}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}
