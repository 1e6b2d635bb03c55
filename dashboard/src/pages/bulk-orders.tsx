// Orders about all tasks that a filter selects. Each becomes a job.
import { useState } from 'preact/hooks';
import { order } from '../api/client';
import { FINAL_STATES, type Job, LIVE_STATES } from '../api/types';
import { type Filter, isEmpty, paramsOf, selectionOf } from '../paging';
import { go, hashOf } from '../router';
import { refusalFor } from '../session';
import { Confirm } from '../ui/dialog';
import { say } from '../ui/toast';

/** Returns whether tasks of the filter can be cancelled, or retried, by their states. */
export function bulkOf(filter: Filter): { cancel: boolean; retry: boolean } {
  const has = (states: readonly string[]) =>
    filter.states.length === 0 || filter.states.some((state) => states.includes(state));
  const retryable = FINAL_STATES.filter((state) => state !== 'completed');
  return { cancel: has(LIVE_STATES), retry: has(retryable) };
}

export function BulkOrders({ filter }: { filter: Filter }) {
  const [asked, setAsked] = useState<'cancel' | 'retry' | null>(null);
  // Orders about everything at once are left to the command line.
  if (isEmpty(filter)) return null;
  const possible = bulkOf(filter);
  const refusal = refusalFor('submitter');
  async function act(name: 'cancel' | 'retry', reason: string) {
    const job = await order<Job>('POST', `/api/tasks/${name}`, { body: selectionOf(filter), reason });
    say(`Job ${job?.job_id} has begun.`);
    go(hashOf(['jobs']));
  }
  return (
    <div class="actions">
      {possible.cancel && (
        <button
          type="button"
          disabled={refusal !== null}
          title={refusal ?? ''}
          onClick={() => setAsked('cancel')}
        >
          Cancel all of these…
        </button>
      )}
      {possible.retry && (
        <button
          type="button"
          disabled={refusal !== null}
          title={refusal ?? ''}
          onClick={() => setAsked('retry')}
        >
          Retry all of these…
        </button>
      )}
      {asked && (
        <Confirm
          title={asked === 'cancel' ? 'Cancel all tasks of the filter' : 'Retry all tasks of the filter'}
          verb={asked === 'cancel' ? 'Cancel them' : 'Retry them'}
          word={asked}
          isDangerous={asked === 'cancel'}
          act={(reason) => act(asked, reason)}
          onClose={() => setAsked(null)}
        >
          <p>
            This is about every task with <code>{decodeURIComponent(paramsOf(filter).toString())}</code>, on
            this page or not. A job works through them; its page shows how far it is.
          </p>
        </Confirm>
      )}
    </div>
  );
}
