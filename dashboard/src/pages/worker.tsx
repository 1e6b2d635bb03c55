// One worker: what it is, what it uses, what runs there, and its past.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { read } from '../api/client';
import type { TaskPage, UsageSample, Worker, WorkerHistory, WorkerMetrics } from '../api/types';
import { ago, count, labels, percent, resources, words } from '../format';
import { now } from '../live/clock';
import { useResource } from '../live/resource';
import { live, ticks, workerIndex } from '../live/store';
import { hashOf } from '../router';
import { Chip, Empty, Facts, Failure, Freshness, Panel, State, Table, Time } from '../ui/basics';
import { Plot } from '../ui/plot';
import { TaskRows } from './task-rows';
import { WorkerActions } from './worker-actions';
import { merged, stateOf } from './workers';

const EVERY_MS = 5_000;
const SAMPLES_MAX = 240;

export function WorkerPage({ id }: { id: string }) {
  const path = `/api/workers/${encodeURIComponent(id)}`;
  const index = useMemo(() => workerIndex(id), [id]);
  const worker = useResource<Worker>(path, (signal) => read(path, signal), {
    everyMs: EVERY_MS,
    on: [index],
  });
  const history = useResource<WorkerHistory>(`${path}/history`, (signal) => read(`${path}/history`, signal), {
    everyMs: 15_000,
    on: [index],
  });
  const tasks = useResource<TaskPage>(`${path}/tasks`, (signal) => read(`${path}/tasks?limit=50`, signal), {
    everyMs: EVERY_MS,
    on: [ticks.tasks],
    gapMs: 1_000,
  });
  ticks.workers.value;
  ticks.usage.value;
  const shown = worker.data ? merged(worker.data) : null;
  return (
    <>
      <div class="page-head">
        <h1>
          <a href={hashOf(['workers'])}>Workers</a> / {id}
        </h1>
        {shown && <State name={stateOf(shown)} />}
        <Freshness of={worker} everyMs={EVERY_MS} />
        {shown && <WorkerActions worker={shown} reload={worker.reload} />}
      </div>
      <Failure error={worker.error} what="The worker cannot be read" />
      {shown && <About worker={shown} />}
      <UsagePlot id={id} />
      <Panel title="Tasks there now" aside={<Freshness of={tasks} everyMs={EVERY_MS} />}>
        <Failure error={tasks.error} />
        {tasks.data && tasks.data.tasks.length === 0 ? (
          <Empty>None.</Empty>
        ) : (
          <TaskRows tasks={tasks.data?.tasks ?? []} label="Tasks of this worker" />
        )}
      </Panel>
      <Panel title="History">
        <Failure error={history.error} />
        <Table label="History of this worker" head={['Time', 'Event', 'Detail']}>
          {[...(history.data?.events ?? [])].reverse().map((event) => (
            <tr key={`${event.index}-${event.event}`}>
              <td>
                <Time at={event.timestamp} />
              </td>
              <td>{words(event.event)}</td>
              <td>{event.detail ?? ''}</td>
            </tr>
          ))}
        </Table>
      </Panel>
    </>
  );
}

function About({ worker }: { worker: Worker }) {
  const heard = live.usage.get(worker.worker_id)?.latest.timestamp ?? worker.last_heartbeat;
  return (
    <Panel title="Worker">
      <Facts
        of={[
          ['Address', <code key="address">{worker.address ?? 'unknown'}</code>],
          ['Reason', worker.reason],
          ['Since', <Time key="since" at={worker.since} />],
          ['Heard', ago(heard, now.value)],
          ['Takes tasks', worker.scheduling === 'open' ? 'yes' : `no, ${worker.scheduling}`],
          ...(worker.drain_deadline
            ? ([['Drain ends', <Time key="drain" at={worker.drain_deadline} />]] as [
                string,
                preact.JSX.Element,
              ][])
            : []),
          ['Running', count(worker.running_tasks)],
          ['Offers', resources(worker.total)],
          ['Free', resources(worker.available)],
          ['Version', worker.version ?? '–'],
          ['Registered', <Time key="registered" at={worker.registered_at} />],
          ['Labels', labels(worker.labels).map((label) => <Chip key={label}>{label}</Chip>)],
        ]}
      />
    </Panel>
  );
}

/** Usage that was sampled before the page was opened, and what events have brought since. */
function UsagePlot({ id }: { id: string }) {
  const [past, setPast] = useState<UsageSample[]>([]);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    const abort = new AbortController();
    setPast([]);
    setError(undefined);
    read<WorkerMetrics | null>(`/api/workers/${encodeURIComponent(id)}/metrics`, abort.signal).then(
      (answer) => setPast(answer.body?.history ?? []),
      (failure) => {
        if (!abort.signal.aborted) setError(failure);
      },
    );
    return () => abort.abort();
  }, [id]);
  ticks.usage.value;

  const fresh = live.usage.get(id);
  const freshTimes = fresh?.at.toArray() ?? [];
  const first = freshTimes[0] ?? Number.POSITIVE_INFINITY;
  const old = past.filter((sample) => Date.parse(sample.timestamp) / 1_000 < first);
  const times = [...old.map((sample) => Date.parse(sample.timestamp) / 1_000), ...freshTimes].slice(
    -SAMPLES_MAX,
  );
  const values = (name: 'cpu' | 'memory' | 'storage') =>
    [...old.map((sample) => sample[name]), ...(fresh?.[name].toArray() ?? [])].slice(-SAMPLES_MAX);
  return (
    <Panel title="Usage" aside={<span class="muted">as it reports it</span>}>
      <Failure error={error} what="Its past usage cannot be read" />
      {times.length === 0 ? (
        <Empty>It has reported no usage yet.</Empty>
      ) : (
        <Plot
          label="Usage"
          times={times}
          max={100}
          format={percent}
          series={[
            { name: 'processor', color: 'blue', values: values('cpu') },
            { name: 'memory', color: 'violet', values: values('memory') },
            { name: 'disk', color: 'amber', values: values('storage') },
          ]}
        />
      )}
    </Panel>
  );
}
