// Pages of tasks. A page that is searched for may be short or empty and still not be the last one.
import type { Task, TaskPage } from './api/types';

/** Requests that one page may take: each looks at some ten thousand tasks. */
export const REQUESTS_MAX = 8;

export interface FilledPage {
  tasks: Task[];
  nextCursor: string | null;
  /** True if the search has stopped before the page was full and before the end. */
  isPartial: boolean;
}

/** Reads on until the page is full, the end is reached, or enough was looked at. */
export async function fillPage(
  fetchPage: (cursor: string | null, limit: number) => Promise<TaskPage>,
  cursor: string | null,
  limit: number,
): Promise<FilledPage> {
  const tasks: Task[] = [];
  let next = cursor;
  for (let requests = 0; requests < REQUESTS_MAX; requests += 1) {
    const page = await fetchPage(next, limit - tasks.length);
    tasks.push(...page.tasks);
    next = page.next_cursor;
    if (next === null || tasks.length >= limit) return { tasks, nextCursor: next, isPartial: false };
  }
  return { tasks, nextCursor: next, isPartial: true };
}

export interface Filter {
  states: string[];
  worker: string;
  label: string;
  namePrefix: string;
  priority: string;
}

export const NO_FILTER: Filter = { states: [], worker: '', label: '', namePrefix: '', priority: '' };

const NAMES = [
  ['worker', 'worker'],
  ['label', 'label'],
  ['namePrefix', 'name_prefix'],
  ['priority', 'priority'],
] as const;

export function filterOf(params: URLSearchParams): Filter {
  const filter: Filter = { ...NO_FILTER, states: params.get('state')?.split(',').filter(Boolean) ?? [] };
  for (const [field, name] of NAMES) filter[field] = params.get(name) ?? '';
  return filter;
}

export function paramsOf(filter: Filter): URLSearchParams {
  const params = new URLSearchParams();
  if (filter.states.length > 0) params.set('state', filter.states.join(','));
  for (const [field, name] of NAMES) if (filter[field]) params.set(name, filter[field]);
  return params;
}

export function isEmpty(filter: Filter): boolean {
  return paramsOf(filter).size === 0;
}

/** Returns the selection of an order about all tasks that the filter shows. */
export function selectionOf(filter: Filter): Record<string, unknown> {
  if (isEmpty(filter)) return { all: true };
  const selection: Record<string, unknown> = {};
  if (filter.states.length > 0) selection.states = filter.states;
  if (filter.label) selection.labels = [filter.label];
  if (filter.worker) selection.worker = filter.worker;
  if (filter.namePrefix) selection.name_prefix = filter.namePrefix;
  if (filter.priority) selection.priority = Number(filter.priority);
  return selection;
}

/** A part of a list, with the number of the page clamped to what there is. */
export function slicePage<T>(
  all: readonly T[],
  page: number,
  size: number,
): { rows: T[]; page: number; pages: number } {
  const pages = Math.max(1, Math.ceil(all.length / size));
  const shown = Math.min(Math.max(1, Math.floor(page) || 1), pages);
  return { rows: all.slice((shown - 1) * size, shown * size), page: shown, pages };
}
