// Orders about workers, each with its reason.
import { useState } from 'preact/hooks';
import { order } from '../api/client';
import type { Worker } from '../api/types';
import { capital, plural, words } from '../format';
import { refusalFor } from '../session';
import { Confirm } from '../ui/dialog';
import { say } from '../ui/toast';
import { type Name, ordersFor } from './worker-orders';

interface Reconnections {
  results: { worker_id: string; outcome: string }[];
}

const EXPLANATIONS: Record<Name, string> = {
  drain:
    'It is given no more tasks. Those that run there finish, or are stopped at the deadline and go elsewhere.',
  cordon: 'It is given no more tasks. Those that run there go on.',
  uncordon: 'It is given tasks again. A drain ends.',
  reconnect: 'The leader contacts it at once, without waiting for its next round.',
};

interface ActionsProps {
  worker: Worker;
  reload: () => void;
  isSmall?: boolean;
}

export function WorkerActions({ worker, reload, isSmall = false }: ActionsProps) {
  const [asked, setAsked] = useState<Name | null>(null);
  const refusal = refusalFor('operator');
  return (
    <div class={`actions ${isSmall ? 'small' : ''}`}>
      {ordersFor(worker).map((name) => (
        <button
          key={name}
          type="button"
          disabled={refusal !== null}
          title={refusal ?? EXPLANATIONS[name]}
          aria-label={`${capital(name)} ${worker.worker_id}`}
          onClick={() => setAsked(name)}
        >
          {capital(name)}
        </button>
      ))}
      {asked && <Ask name={asked} worker={worker} reload={reload} onClose={() => setAsked(null)} />}
    </div>
  );
}

function Ask({
  name,
  worker,
  reload,
  onClose,
}: {
  name: Name;
  worker: Worker;
  reload: () => void;
  onClose: () => void;
}) {
  const [deadline, setDeadline] = useState('');
  const id = worker.worker_id;
  async function act(reason: string) {
    const query =
      name === 'drain' && deadline.trim() ? `?timeout=${encodeURIComponent(deadline.trim())}` : '';
    const path = `/api/workers/${encodeURIComponent(id)}/${name}${query}`;
    const answer = await order<Worker | Reconnections>('POST', path, { reason });
    say(name === 'reconnect' ? outcomeOf(id, answer as Reconnections | null) : `${id}: ${name} is ordered.`);
    reload();
  }
  return (
    <Confirm
      title={`${capital(name)} ${id}`}
      verb={capital(name)}
      isDangerous={name === 'drain'}
      act={act}
      onClose={onClose}
    >
      <p>
        {EXPLANATIONS[name]}
        {name === 'drain' &&
          worker.running_tasks > 0 &&
          ` ${plural(worker.running_tasks, 'task')} run there now.`}
      </p>
      {name === 'drain' && (
        <label>
          Deadline
          <input
            value={deadline}
            placeholder="none, or as in 5m"
            onInput={(event) => setDeadline(event.currentTarget.value)}
            autocomplete="off"
          />
        </label>
      )}
    </Confirm>
  );
}

function outcomeOf(id: string, answer: Reconnections | null): string {
  const result = answer?.results.find((each) => each.worker_id === id);
  return result ? `${id}: ${words(result.outcome)}.` : `${id} is being contacted.`;
}

export function ReconnectAll({ inactive, reload }: { inactive: number; reload: () => void }) {
  const [isAsking, setAsking] = useState(false);
  const refusal = refusalFor('operator');
  if (inactive === 0) return null;
  async function act(reason: string) {
    const answer = await order<Reconnections>('POST', '/api/workers/reconnect', { reason });
    const results = answer?.results ?? [];
    const reached = results.filter((result) => result.outcome === 'reached').length;
    say(
      results.length > 0
        ? `${reached} of ${plural(results.length, 'worker')} reached.`
        : 'The workers are being contacted.',
    );
    reload();
  }
  return (
    <>
      <button type="button" disabled={refusal !== null} title={refusal ?? ''} onClick={() => setAsking(true)}>
        Reconnect {plural(inactive, 'inactive worker')}…
      </button>
      {isAsking && (
        <Confirm
          title="Reconnect all inactive workers"
          verb="Reconnect"
          act={act}
          onClose={() => setAsking(false)}
        >
          <p>The leader contacts each of them at once, without waiting for its next round.</p>
        </Confirm>
      )}
    </>
  );
}
