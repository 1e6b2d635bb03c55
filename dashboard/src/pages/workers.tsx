// The fleet: every worker with its state and its usage, as events tell of it.
import { read } from '../api/client';
import type { Worker, WorkerPage } from '../api/types';
import { ago, count, labels, percent, plural } from '../format';
import { now } from '../live/clock';
import { useResource } from '../live/resource';
import { live, ticks } from '../live/store';
import { slicePage } from '../paging';
import { hashOf, replace, route } from '../router';
import { Chip, Empty, Failure, Freshness, Panel, Spark, State, Table, Tile } from '../ui/basics';
import { Pager } from '../ui/pager';
import { ReconnectAll, WorkerActions } from './worker-actions';

const EVERY_MS = 10_000;
const ROWS = 50;

/** State of a worker as one word: an order of an operator is told before what the worker does. */
export function stateOf(worker: Worker): string {
  const isOpen = worker.scheduling === 'open' || !worker.is_active;
  return isOpen ? worker.state : worker.scheduling;
}

/** Takes what events have told since the list was read. */
export function merged(worker: Worker): Worker {
  const event = live.workers.get(worker.worker_id);
  const usage = live.usage.get(worker.worker_id)?.latest;
  const isNewer = event !== undefined && event.index > worker.index;
  const told = isNewer
    ? {
        state: event.state,
        is_active: event.is_active,
        reason: event.detail ?? event.reason,
        since: event.timestamp,
      }
    : {};
  return { ...worker, ...(usage ? { running_tasks: usage.running_tasks } : {}), ...told };
}

type Order = 'name' | 'state' | 'cpu' | 'memory' | 'tasks';
const ORDERS: [Order, string][] = [
  ['name', 'name'],
  ['state', 'state'],
  ['cpu', 'processor'],
  ['memory', 'memory'],
  ['tasks', 'tasks'],
];

function sorted(workers: Worker[], by: Order): Worker[] {
  const usage = (worker: Worker) => live.usage.get(worker.worker_id)?.latest;
  const key: Record<Order, (worker: Worker) => number | string> = {
    name: (worker) => worker.worker_id,
    state: (worker) => (worker.is_active && worker.scheduling === 'open' ? `z${worker.state}` : worker.state),
    cpu: (worker) => -(usage(worker)?.cpu ?? -1),
    memory: (worker) => -(usage(worker)?.memory ?? -1),
    tasks: (worker) => -worker.running_tasks,
  };
  const names = new Intl.Collator('en', { numeric: true });
  return [...workers].sort((a, b) => {
    const [x, y] = [key[by](a), key[by](b)];
    const first =
      typeof x === 'number' && typeof y === 'number' ? x - y : names.compare(String(x), String(y));
    return first || names.compare(a.worker_id, b.worker_id);
  });
}

export function WorkersPage() {
  const fleet = useResource<WorkerPage>('workers', (signal) => read('/api/workers', signal), {
    everyMs: EVERY_MS,
    on: [ticks.workers],
    gapMs: 1_000,
  });
  const { params } = route.value;
  const [state, text] = [params.get('state') ?? '', params.get('q') ?? ''];
  const by = (params.get('sort') ?? 'name') as Order;
  ticks.workers.value;
  ticks.usage.value;

  const all = (fleet.data?.workers ?? []).map(merged);
  const counts = new Map<string, number>();
  for (const worker of all) counts.set(stateOf(worker), (counts.get(stateOf(worker)) ?? 0) + 1);
  const wanted = text.toLowerCase();
  const shown = all.filter(
    (worker) =>
      (!state || stateOf(worker) === state) &&
      (!wanted ||
        worker.worker_id.toLowerCase().includes(wanted) ||
        labels(worker.labels).some((label) => label.toLowerCase().includes(wanted))),
  );
  const page = slicePage(sorted(shown, by), Number(params.get('page') ?? 1), ROWS);

  function set(name: string, value: string) {
    const next = new URLSearchParams(params);
    if (value) next.set(name, value);
    else next.delete(name);
    if (name !== 'page') next.delete('page');
    replace(hashOf(['workers'], next));
  }

  return (
    <>
      <div class="page-head">
        <h1>Workers</h1>
        <Freshness of={fleet} everyMs={EVERY_MS} />
        <ReconnectAll inactive={all.filter((worker) => !worker.is_active).length} reload={fleet.reload} />
      </div>
      <Failure error={fleet.error} what="The workers cannot be read" />
      <div class="tiles" role="group" aria-label="Filter by state">
        <Tile name="all" value={count(all.length)} pressed={!state} onClick={() => set('state', '')} />
        {[...counts].sort().map(([name, number]) => (
          <Tile
            key={name}
            name={name}
            value={count(number)}
            tone={
              name === 'active'
                ? 'good'
                : ['inactive', 'unfit', 'unreachable'].includes(name)
                  ? 'bad'
                  : 'warn'
            }
            pressed={state === name}
            onClick={() => set('state', state === name ? '' : name)}
          />
        ))}
      </div>
      <Panel
        title="Fleet"
        aside={
          <>
            <label class="inline">
              <span>Find</span>
              <input
                type="search"
                placeholder="name or label"
                value={text}
                onInput={(event) => set('q', event.currentTarget.value)}
              />
            </label>
            <label class="inline">
              <span>Sort by</span>
              <select value={by} onChange={(event) => set('sort', event.currentTarget.value)}>
                {ORDERS.map(([value, name]) => (
                  <option key={value} value={value}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
          </>
        }
      >
        {fleet.data && shown.length === 0 ? (
          <Empty>{all.length === 0 ? 'No worker is registered yet.' : 'No worker is like that.'}</Empty>
        ) : (
          <Table
            label="Workers"
            head={['Worker', 'State', 'Tasks', 'Processor', 'Memory', 'Disk', 'Heard', 'Labels', 'Orders']}
          >
            {page.rows.map((worker) => (
              <Row key={worker.worker_id} worker={worker} reload={fleet.reload} />
            ))}
          </Table>
        )}
        <footer>
          <span class="muted">{plural(shown.length, 'worker')}</span>
          <Pager page={page.page} pages={page.pages} what="workers" go={(to) => set('page', String(to))} />
        </footer>
      </Panel>
    </>
  );
}

function Row({ worker, reload }: { worker: Worker; reload: () => void }) {
  const usage = live.usage.get(worker.worker_id);
  const heard = usage?.latest.timestamp ?? worker.last_heartbeat;
  return (
    <tr class={worker.is_active ? '' : 'dim'}>
      <th scope="row">
        <a href={hashOf(['workers', worker.worker_id])}>{worker.worker_id}</a>
      </th>
      <td>
        <State name={stateOf(worker)} title={worker.reason} />
        {!worker.is_active && <small class="muted reason">{worker.reason}</small>}
      </td>
      <td class="num">{count(worker.running_tasks)}</td>
      <Course name="processor" values={usage?.cpu.toArray()} />
      <Course name="memory" values={usage?.memory.toArray()} />
      <td class="num">{percent(usage?.latest.storage)}</td>
      <td class="num">{ago(heard, now.value)}</td>
      <td>
        {labels(worker.labels)
          .slice(0, 4)
          .map((label) => (
            <Chip key={label}>{label}</Chip>
          ))}
      </td>
      <td>
        <WorkerActions worker={worker} reload={reload} isSmall />
      </td>
    </tr>
  );
}

function Course({ name, values }: { name: string; values: number[] | undefined }) {
  const last = values?.at(-1);
  return (
    <td class="course">
      <Spark values={values ?? []} label={`${name}, course of the last minutes`} />
      <span>{percent(last)}</span>
    </td>
  );
}
