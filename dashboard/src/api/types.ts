// Bodies of the REST API, as far as the dashboard reads them. Their documentation is in proto/cloudai/v1.

export interface Resources {
  cpu?: number | null;
  memory_mb?: number | null;
  storage_mb?: number | null;
  gpu?: number | null;
  custom?: Record<string, number>;
}

export const LIVE_STATES = ['blocked', 'scheduled', 'queued', 'assigned', 'running', 'cancelling'] as const;
export const FINAL_STATES = ['completed', 'failed', 'cancelled', 'aborted'] as const;
export type TaskState = (typeof LIVE_STATES)[number] | (typeof FINAL_STATES)[number];

export interface Attempt {
  number: number;
  worker_id: string;
  started_at: string | null;
  finished_at: string | null;
  exit_code: number | null;
  outcome: string | null;
  reason: string | null;
}

export interface Task {
  task_id: string;
  name: string | null;
  state: TaskState;
  pending_reason: string | null;
  reason: string | null;
  priority: number;
  command: string[];
  resources: Resources;
  labels: Record<string, string>;
  submitted_at: string;
  started_at: string | null;
  finished_at: string | null;
  exit_code: number | null;
  index: number;
  attempts: Attempt[];
  env?: Record<string, string>;
  secret_env?: string[];
  not_before?: string;
  queue_timeout?: string;
  deadline?: string;
  retries?: number;
  after?: string[];
  after_any?: string[];
  dependents?: string[];
  dependent_count?: number;
}

export interface TaskPage {
  tasks: Task[];
  next_cursor: string | null;
}

export interface Constraint {
  label: string;
  op: string;
  value: string | string[];
}

export interface QueueClass {
  priority: number;
  resources: Resources | null;
  constraints: Constraint[];
  worker_id: string | null;
  tasks: number;
  next_task_id: string;
  next_queued_at: string;
  pending_reason: string | null;
}

export interface QueueSummary {
  states: Record<string, number>;
  priorities: { priority: number; tasks: number }[];
  class_count: number;
  classes: QueueClass[];
  oldest_task_id: string | null;
  oldest_queued_at: string | null;
}

export interface Obstacle {
  obstacle: string;
  detail: string | null;
  workers: number;
  examples: string[];
  remedy: string;
}

export interface Explanation {
  task_id: string;
  state: TaskState;
  pending_reason: string | null;
  workers: number | null;
  fitting: number | null;
  obstacles: Obstacle[];
}

export interface Worker {
  worker_id: string;
  address: string | null;
  is_active: boolean;
  state: string;
  reason: string;
  epoch: number;
  total: Resources | null;
  allocated: Resources | null;
  available: Resources | null;
  labels: Record<string, string>;
  running_tasks: number;
  registered_at: string;
  last_heartbeat: string | null;
  index: number;
  version: string | null;
  scheduling: 'open' | 'cordoned' | 'draining' | 'drained';
  drain_deadline: string | null;
  changed_at: string;
  since: string;
  certificate_not_after?: string | null;
}

export interface WorkerPage {
  workers: Worker[];
  next_cursor: string | null;
}

export interface UsageSample {
  worker_id: string;
  timestamp: string;
  cpu: number;
  memory: number;
  storage: number;
  gpu: number;
  running_tasks: number;
}

export interface WorkerMetrics {
  worker_id: string;
  latest: UsageSample | null;
  history: UsageSample[];
}

export interface WorkerHistory {
  worker_id: string;
  events: { timestamp: string; index: number; event: string; detail: string | null }[];
}

export interface Member {
  id: number;
  address: string;
  role: string;
  term: number | null;
  last_log_index: number | null;
  commit_index: number | null;
  applied_index: number | null;
  lag: number | null;
  snapshot_index: number | null;
  reachable: boolean;
  version: string | null;
  voter: boolean;
  http_address: string | null;
  free_bytes: number | null;
  clock_offset_ms: number | null;
  differing_settings?: string[];
}

export interface MassLoss {
  since: string;
  lost: number;
  of: number;
  acknowledged_at: string | null;
}

export interface ClusterStatus {
  cluster_name: string;
  cluster_id: string | null;
  node_id: number;
  leader_id: number | null;
  term: number;
  healthy: boolean;
  problems: string[];
  members: Member[];
  workers: Record<string, number>;
  tasks: Record<string, number>;
  mass_loss: MassLoss | null;
  level: number;
  autopilot: string | null;
  orphans: number;
}

export interface LeaderTerm {
  term: number;
  leader_id: number;
  since: string;
  until: string | null;
  cause: string;
  index: number;
}

export interface ScheduleRun {
  at: string;
  decided_at: string;
  manual: boolean;
  outcome: string;
  task_id: string | null;
  missed: number | null;
  missed_until: string | null;
  reason: string | null;
}

export interface Schedule {
  name: string;
  cron: string;
  time_zone: string;
  overlap: string;
  catch_up_window: string;
  paused: boolean;
  task: { command?: string[]; name?: string | null } | null;
  next_at: string | null;
  waiting_at: string | null;
  last_at: string | null;
  last_task_id: string | null;
  started: number;
  skipped: number;
  missed: number;
  created_at: string;
  changed_at: string;
  index: number;
  runs: ScheduleRun[];
}

export interface SchedulePage {
  schedules: Schedule[];
  next_cursor: string | null;
}

export interface NextRuns {
  runs: { at: string; local: string }[];
}

export interface Job {
  job_id: string;
  action: 'cancel' | 'retry';
  state: 'running' | 'completed' | 'stopped';
  selection: Selection | null;
  done: number;
  refused: number;
  percent: number;
  reason: string | null;
  ordered_by: string;
  started_at: string;
  finished_at: string | null;
  index: number;
}

export interface Selection {
  states?: string[];
  labels?: string[];
  worker?: string | null;
  name_prefix?: string | null;
  priority?: number | null;
  all?: boolean;
}

export const ROLES = ['viewer', 'submitter', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export interface Identity {
  principal: string;
  role: string | null;
  scope: string | null;
  cluster_name: string;
}
