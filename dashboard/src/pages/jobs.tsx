// Orders about many tasks, and how far they have come.
import { read } from '../api/client';
import type { Job } from '../api/types';
import { count, span } from '../format';
import { now } from '../live/clock';
import { useResource } from '../live/resource';
import { ticks } from '../live/store';
import { Empty, Failure, Freshness, Panel, State, Table, Time } from '../ui/basics';

const EVERY_MS = 2_000;

/** Describes what a job is about. */
export function selectionText(job: Job): string {
  const of = job.selection;
  if (!of) return '–';
  if (of.all) return 'all tasks';
  const parts = [
    of.states?.length ? `state ${of.states.join(' or ')}` : '',
    ...(of.labels ?? []).map((label) => `label ${label}`),
    of.worker ? `worker ${of.worker}` : '',
    of.name_prefix ? `name ${of.name_prefix}…` : '',
    of.priority === null || of.priority === undefined ? '' : `priority ${of.priority}`,
  ];
  return parts.filter(Boolean).join(', ') || 'all tasks';
}

export function JobsPage() {
  const jobs = useResource<{ jobs: Job[] }>('jobs', (signal) => read('/api/jobs', signal), {
    everyMs: EVERY_MS,
    on: [ticks.jobs],
  });
  const all = jobs.data?.jobs ?? [];
  return (
    <>
      <div class="page-head">
        <h1>Jobs</h1>
        <Freshness of={jobs} everyMs={EVERY_MS} />
      </div>
      <Failure error={jobs.error} what="The jobs cannot be read" />
      <Panel title="Orders about many tasks">
        {jobs.data && all.length === 0 ? (
          <Empty>There was none. Filter tasks, and cancel or retry all of them: that is a job.</Empty>
        ) : (
          <Table
            label="Jobs"
            head={['Job', 'State', 'Order', 'Progress', 'Done', 'Refused', 'Of', 'By', 'Began', 'Took']}
          >
            {all.map((job) => (
              <Row key={job.job_id} job={job} />
            ))}
          </Table>
        )}
      </Panel>
    </>
  );
}

function Row({ job }: { job: Job }) {
  const end = job.finished_at ? Date.parse(job.finished_at) : now.value;
  const took = Math.max(0, end - Date.parse(job.started_at));
  return (
    <tr>
      <th scope="row">{job.job_id}</th>
      <td>
        <State name={job.state} title={job.reason ?? undefined} />
      </td>
      <td>{job.action}</td>
      <td class="course">
        <progress value={job.percent} max={100} aria-label={`Progress of ${job.job_id}`} />
        <span>{job.percent} %</span>
      </td>
      <td class="num">{count(job.done)}</td>
      <td class={`num ${job.refused > 0 ? 'ink-red' : ''}`}>{count(job.refused)}</td>
      <td class="text">
        {selectionText(job)}
        {job.reason && <small class="muted why">{job.reason}</small>}
      </td>
      <td>{job.ordered_by}</td>
      <td>
        <Time at={job.started_at} />
      </td>
      <td class="num">{span(job.finished_at ? took : Math.floor(took / 1_000) * 1_000)}</td>
    </tr>
  );
}
