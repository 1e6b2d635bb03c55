// One task: its way, its attempts, its log.
import { useMemo, useState } from 'preact/hooks';
import { order, read } from '../api/client';
import { type Explanation, FINAL_STATES, type Task } from '../api/types';
import { commandLine, count, labels, plural, resources, span, words } from '../format';
import { useResource } from '../live/resource';
import { live, taskIndex, ticks } from '../live/store';
import { hashOf } from '../router';
import { refusalFor } from '../session';
import { Chip, Empty, Facts, Failure, Freshness, Panel, State, Table, Time } from '../ui/basics';
import { Confirm } from '../ui/dialog';
import { say } from '../ui/toast';
import { LogView } from './log-view';
import { shown } from './task-rows';

const EVERY_MS = 5_000;

const isFinal = (state: string) => (FINAL_STATES as readonly string[]).includes(state);
const waits = (state: string) => ['queued', 'scheduled', 'blocked', 'assigned', 'cancelling'].includes(state);

export function TaskPage({ id }: { id: string }) {
  const path = `/api/tasks/${encodeURIComponent(id)}`;
  const index = useMemo(() => taskIndex(id), [id]);
  const resource = useResource<Task>(path, (signal) => read(path, signal), {
    everyMs: EVERY_MS,
    on: [index],
    gapMs: 300,
  });
  const task = resource.data;
  ticks.tasks.value;
  const row = task ? shown(task, live.tasks.get(id)) : null;
  return (
    <>
      <div class="page-head">
        <h1>
          <a href={hashOf(['tasks'])}>Tasks</a> / {id}
        </h1>
        {row && <State name={row.state} />}
        <Freshness of={resource} everyMs={EVERY_MS} />
        {row && <TaskOrders id={id} state={row.state} reload={resource.reload} />}
      </div>
      <Failure error={resource.error} what="The task cannot be read" />
      {task && row && (
        <>
          {row.why && !waits(row.state) && (
            <p class={`notice ${row.state === 'failed' || row.state === 'aborted' ? 'bad' : 'info'}`}>
              {row.why}
            </p>
          )}
          {waits(row.state) && <Explain id={id} />}
          <About task={task} />
          <Attempts task={task} />
          <LogView key={task.retries ?? 0} id={id} attempts={task.attempts} isOver={isFinal(row.state)} />
        </>
      )}
    </>
  );
}

function TaskOrders({ id, state, reload }: { id: string; state: string; reload: () => void }) {
  const [asked, setAsked] = useState<'cancel' | 'retry' | null>(null);
  const refusal = refusalFor('submitter');
  const path = `/api/tasks/${encodeURIComponent(id)}`;
  const canRetry = isFinal(state) && state !== 'completed';
  async function act(name: 'cancel' | 'retry', reason: string) {
    if (name === 'cancel') await order('DELETE', path, { reason });
    else await order('POST', `${path}/retry`, { reason });
    say(name === 'cancel' ? `${id} is being cancelled.` : `${id} is queued again.`);
    reload();
  }
  return (
    <div class="actions">
      {!isFinal(state) && state !== 'cancelling' && (
        <button
          type="button"
          disabled={refusal !== null}
          title={refusal ?? ''}
          onClick={() => setAsked('cancel')}
        >
          Cancel…
        </button>
      )}
      {canRetry && (
        <button
          type="button"
          disabled={refusal !== null}
          title={refusal ?? ''}
          onClick={() => setAsked('retry')}
        >
          Retry…
        </button>
      )}
      {asked && (
        <Confirm
          title={asked === 'cancel' ? `Cancel ${id}` : `Retry ${id}`}
          verb={asked === 'cancel' ? 'Cancel the task' : 'Retry'}
          isDangerous={asked === 'cancel'}
          act={(reason) => act(asked, reason)}
          onClose={() => setAsked(null)}
        >
          <p>
            {asked === 'cancel'
              ? 'It ends at once if it waits, and when its process has ended if it runs.'
              : 'It is queued again; its failures count from zero, and its attempts are kept.'}
          </p>
        </Confirm>
      )}
    </div>
  );
}

function Explain({ id }: { id: string }) {
  const path = `/api/tasks/${encodeURIComponent(id)}/explain`;
  const explanation = useResource<Explanation>(path, (signal) => read(path, signal), {
    everyMs: EVERY_MS,
    on: [ticks.workers],
    gapMs: 2_000,
  });
  const of = explanation.data;
  return (
    <Panel title="Why it waits" aside={<Freshness of={explanation} everyMs={EVERY_MS} />}>
      <Failure error={explanation.error} />
      {of?.pending_reason && <p>{of.pending_reason}</p>}
      {of && of.workers !== null && (
        <p class="muted">
          {plural(of.workers, 'worker')} are registered, {count(of.fitting)} have room for it now.
        </p>
      )}
      {of && of.obstacles.length > 0 && (
        <Table label="Obstacles" head={['Workers', 'Obstacle', 'As in', 'What would change that']}>
          {of.obstacles.map((each) => (
            <tr key={`${each.obstacle}-${each.detail}`}>
              <td class="num">{count(each.workers)}</td>
              <td>
                {words(each.obstacle)}
                {each.detail && <small class="muted"> {each.detail}</small>}
              </td>
              <td>{each.examples.join(', ')}</td>
              <td class="text">{each.remedy}</td>
            </tr>
          ))}
        </Table>
      )}
      {of && !of.pending_reason && of.obstacles.length === 0 && (
        <Empty>Nothing keeps it: its turn comes.</Empty>
      )}
    </Panel>
  );
}

function TaskLinks({ ids }: { ids: string[] }) {
  return (
    <>
      {ids.map((id) => (
        <a key={id} class="chip" href={hashOf(['tasks', id])}>
          {id}
        </a>
      ))}
    </>
  );
}

function About({ task }: { task: Task }) {
  const facts: [string, preact.ComponentChildren][] = [
    ['Command', <code key="command">{commandLine(task.command)}</code>],
    ['Needs', resources(task.resources)],
    ['Priority', count(task.priority)],
    ['Submitted', <Time key="submitted" at={task.submitted_at} />],
    ['Started', <Time key="started" at={task.started_at} />],
    ['Finished', <Time key="finished" at={task.finished_at} />],
  ];
  if (task.name) facts.unshift(['Name', task.name]);
  if (task.exit_code !== null) facts.push(['Exit code', count(task.exit_code)]);
  if (task.retries) facts.push(['Retried', plural(task.retries, 'time')]);
  if (task.not_before) facts.push(['Not before', <Time key="not-before" at={task.not_before} />]);
  if (task.deadline) facts.push(['Deadline', <Time key="deadline" at={task.deadline} />]);
  if (task.after?.length) facts.push(['After', <TaskLinks key="after" ids={task.after} />]);
  if (task.after_any?.length) facts.push(['After any end of', <TaskLinks key="any" ids={task.after_any} />]);
  if (task.dependents?.length)
    facts.push(['Waiting for it', <TaskLinks key="dependents" ids={task.dependents} />]);
  if (labels(task.labels).length > 0)
    facts.push(['Labels', labels(task.labels).map((label) => <Chip key={label}>{label}</Chip>)]);
  const env = labels(task.env);
  if (env.length > 0) facts.push(['Environment', <code key="env">{env.join('\n')}</code>]);
  if (task.secret_env?.length) facts.push(['Secret variables', task.secret_env.join(', ')]);
  return (
    <Panel title="Task">
      <Facts of={facts} />
    </Panel>
  );
}

function Attempts({ task }: { task: Task }) {
  return (
    <Panel title="Attempts">
      {task.attempts.length === 0 ? (
        <Empty>It has not been placed on a worker yet.</Empty>
      ) : (
        <Table
          label="Attempts"
          head={['Attempt', 'Worker', 'Outcome', 'Exit code', 'Started', 'Took', 'Reason']}
        >
          {[...task.attempts].reverse().map((attempt) => (
            <tr key={attempt.number}>
              <th scope="row">{attempt.number}</th>
              <td>
                <a href={hashOf(['workers', attempt.worker_id])}>{attempt.worker_id}</a>
              </td>
              <td>{attempt.outcome ? <State name={attempt.outcome} /> : <span class="muted">live</span>}</td>
              <td class="num">{attempt.exit_code ?? '–'}</td>
              <td>
                <Time at={attempt.started_at} />
              </td>
              <td class="num">
                {attempt.started_at && attempt.finished_at
                  ? span(Date.parse(attempt.finished_at) - Date.parse(attempt.started_at))
                  : '–'}
              </td>
              <td class="text">{attempt.reason ?? ''}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}
