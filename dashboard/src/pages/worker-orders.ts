// The orders that make sense for a worker.
import type { Worker } from '../api/types';

export type Name = 'drain' | 'cordon' | 'uncordon' | 'reconnect';

/** Returns the orders that make sense for a worker as it is. */
export function ordersFor(worker: Worker): Name[] {
  const names: Name[] =
    worker.scheduling === 'open'
      ? ['drain', 'cordon']
      : worker.scheduling === 'cordoned'
        ? ['drain', 'uncordon']
        : ['uncordon'];
  return worker.is_active ? names : ['reconnect', ...names];
}
