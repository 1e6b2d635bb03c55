// Events as masters send them: docs/clients.md.

export interface TaskStatus {
  type: 'task_status';
  task_id: string;
  name?: string | null;
  state: string;
  worker_id: string | null;
  attempt: number | null;
  exit_code?: number | null;
  outcome?: string | null;
  reason?: string | null;
  timestamp: string;
  index: number;
}

export interface WorkerStatus {
  type: 'worker_status';
  worker_id: string;
  is_active: boolean;
  state: string;
  reason: string;
  detail?: string;
  timestamp: string;
  index: number;
}

export interface Telemetry {
  type: 'telemetry';
  worker_id: string;
  cpu: number;
  memory: number;
  storage: number;
  gpu: number;
  running_tasks: number;
  timestamp: string;
}

export interface LeaderElected {
  type: 'leader';
  leader_id: number;
  term: number;
  timestamp: string;
  index: number;
}

/** What is shown in words only: settings, member, orphaned_result, mass_loss, and types to come. */
export interface OtherEvent {
  type: string;
  timestamp?: string;
  index?: number;
  [field: string]: unknown;
}

export type ClusterEvent = TaskStatus | WorkerStatus | Telemetry | LeaderElected | OtherEvent;

export function isTaskStatus(event: ClusterEvent): event is TaskStatus {
  return event.type === 'task_status';
}

export function isWorkerStatus(event: ClusterEvent): event is WorkerStatus {
  return event.type === 'worker_status';
}

export function isTelemetry(event: ClusterEvent): event is Telemetry {
  return event.type === 'telemetry';
}

export function isLeader(event: ClusterEvent): event is LeaderElected {
  return event.type === 'leader';
}

/** Reads the data of an event; null if it is none. */
export function parseEvent(data: string): ClusterEvent | null {
  try {
    const event: unknown = JSON.parse(data);
    const isEvent = typeof event === 'object' && event !== null && 'type' in event;
    return isEvent ? (event as ClusterEvent) : null;
  } catch {
    return null;
  }
}
