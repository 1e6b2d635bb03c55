// Rows of tasks, brought up to date by events.
import type { Task } from '../api/types';
import { ago, clock, commandLine, labels, span } from '../format';
import { now } from '../live/clock';
import type { TaskStatus } from '../live/events';
import { live, ticks } from '../live/store';
import { hashOf } from '../router';
import { Chip, State, Table } from '../ui/basics';

export interface ShownTask {
  task: Task;
  state: string;
  worker: string | null;
  attempt: number | null;
  exitCode: number | null;
  /** Why it waits, or why it ended so. */
  why: string | null;
}

/** Takes what an event has told since the task was read. */
export function shown(task: Task, event: TaskStatus | undefined): ShownTask {
  const last = task.attempts.at(-1);
  if (event === undefined || event.index <= task.index) {
    return {
      task,
      state: task.state,
      worker: last?.worker_id ?? null,
      attempt: last?.number ?? null,
      exitCode: task.exit_code,
      why: task.pending_reason ?? task.reason ?? null,
    };
  }
  return {
    task,
    state: event.state,
    worker: event.worker_id,
    attempt: event.attempt,
    exitCode: event.exit_code ?? null,
    why: event.reason ?? null,
  };
}

export function TaskRows({ tasks, label }: { tasks: readonly Task[]; label: string }) {
  ticks.tasks.value;
  return (
    <Table
      label={label}
      head={['Task', 'State', 'Name and command', 'Worker', 'Attempt', 'Priority', 'Submitted', 'Took']}
    >
      {tasks.map((task) => (
        <Row key={task.task_id} row={shown(task, live.tasks.get(task.task_id))} />
      ))}
    </Table>
  );
}

function Row({ row }: { row: ShownTask }) {
  const { task } = row;
  const isLive = ['running', 'assigned', 'cancelling'].includes(row.state);
  return (
    <tr>
      <th scope="row">
        <a href={hashOf(['tasks', task.task_id])}>{task.task_id}</a>
      </th>
      <td>
        <State name={row.state} title={row.why ?? undefined} />
        {row.exitCode !== null && row.exitCode !== 0 && <small class="ink-red"> exit {row.exitCode}</small>}
      </td>
      <td class="wide">
        {task.name && <b>{task.name} </b>}
        <code title={commandLine(task.command)}>{commandLine(task.command).slice(0, 160)}</code>
        {labels(task.labels)
          .slice(0, 3)
          .map((label) => (
            <Chip key={label}>{label}</Chip>
          ))}
        {row.why && !isLive && <small class="muted why">{row.why}</small>}
      </td>
      <td>
        {row.worker ? (
          <a href={hashOf(['workers', row.worker])}>{row.worker}</a>
        ) : (
          <span class="muted">–</span>
        )}
      </td>
      <td class="num">{row.attempt ?? '–'}</td>
      <td class="num">{task.priority}</td>
      <td class="num" title={clock(task.submitted_at)}>
        {ago(task.submitted_at, now.value)}
      </td>
      <td class="num">{tookOf(row)}</td>
    </tr>
  );
}

function tookOf({ task, state }: ShownTask): string {
  const last = task.attempts.at(-1);
  if (!last?.started_at) return '–';
  if (last.finished_at) return span(Date.parse(last.finished_at) - Date.parse(last.started_at));
  const sofar = Math.max(0, Math.floor((now.value - Date.parse(last.started_at)) / 1_000) * 1_000);
  return state === 'running' || state === 'cancelling' ? `${span(sofar)} so far` : '–';
}
