// The form of a submission: from fields to the body, and from the places of faults back to fields.
import { readPairs, splitWords } from '../words';

export const FIELDS = [
  'command',
  'name',
  'priority',
  'cpu',
  'memory_mb',
  'storage_mb',
  'gpu',
  'max_attempts',
  'run_timeout',
  'delay',
  'worker_id',
  'working_dir',
  'labels',
  'env',
  'after',
] as const;
export type Field = (typeof FIELDS)[number];
export type Draft = Record<Field, string>;

export const NEW_DRAFT = Object.fromEntries(FIELDS.map((field) => [field, ''])) as Draft;

export type Built = { task: Record<string, unknown> } | { faults: Partial<Record<Field, string>> };

const NUMBERS = new Set<Field>(['priority', 'cpu', 'memory_mb', 'storage_mb', 'gpu', 'max_attempts']);
const RESOURCES = new Set<Field>(['cpu', 'memory_mb', 'storage_mb', 'gpu']);

/** Builds the body. Only what cannot be a body at all is refused here; the server judges the rest. */
export function build(draft: Draft): Built {
  const faults: Partial<Record<Field, string>> = {};
  const task: Record<string, unknown> = {};
  const resources: Record<string, unknown> = {};
  for (const field of FIELDS) {
    const text = draft[field].trim();
    if (text === '') continue;
    const value = read(field, text);
    if ('fault' in value) faults[field] = value.fault;
    else if (RESOURCES.has(field)) resources[field] = value.value;
    else task[field] = value.value;
  }
  if (Object.keys(resources).length > 0) task.resources = resources;
  return Object.keys(faults).length > 0 ? { faults } : { task };
}

function read(field: Field, text: string): { value: unknown } | { fault: string } {
  if (field === 'command') {
    const split = splitWords(text);
    return 'fault' in split ? split : { value: split.words };
  }
  if (field === 'labels' || field === 'env') {
    const pairs = readPairs(text);
    return 'fault' in pairs ? pairs : { value: pairs.pairs };
  }
  if (field === 'after') return { value: text.split(/[\s,]+/).filter(Boolean) };
  if (NUMBERS.has(field)) {
    const number = Number(text);
    return Number.isFinite(number) ? { value: number } : { fault: `'${text}' is not a number` };
  }
  return { value: text };
}

/** Returns the field that shows what a JSON pointer points at; null if none does. */
export function fieldOf(pointer: string): Field | null {
  const [first = '', second = ''] = pointer.replace(/^\//, '').split('/');
  const name = first === 'resources' ? second : first;
  return FIELDS.find((field) => field === name) ?? null;
}
