// Submits a task, by a form or as JSON.
import { useRef, useState } from 'preact/hooks';
import { newKey, order } from '../api/client';
import { type Fault, faultsByField, ProblemError } from '../api/problem';
import { commandLine } from '../format';
import { go, hashOf } from '../router';
import { refusalFor } from '../session';
import { Failure } from '../ui/basics';
import { say } from '../ui/toast';
import { splitWords } from '../words';
import { build, type Draft, type Field, fieldOf, NEW_DRAFT } from './submission';

interface Shape {
  label: string;
  hint: string;
  kind?: 'area' | 'number';
}

const SHAPES: Record<Field, Shape> = {
  command: {
    label: 'Command',
    hint: 'A program and its arguments, quoted as for a shell. There is no shell: no pipes, no variables.',
  },
  name: { label: 'Name', hint: 'For people.' },
  priority: { label: 'Priority', hint: '0 to 100, higher first. 50 if empty.', kind: 'number' },
  cpu: { label: 'Processors', hint: '1 if empty.', kind: 'number' },
  memory_mb: { label: 'Memory in MiB', hint: '512 if empty.', kind: 'number' },
  storage_mb: { label: 'Disk in MiB', hint: '0 if empty.', kind: 'number' },
  gpu: { label: 'GPUs', hint: '0 if empty.', kind: 'number' },
  max_attempts: {
    label: 'Attempts',
    hint: 'Failures after which it has failed. 3 if empty.',
    kind: 'number',
  },
  run_timeout: { label: 'Longest run', hint: 'As in 30s, 5m or 2h; no limit if empty.' },
  delay: { label: 'Delay', hint: 'As in 10m; it may start at once if empty.' },
  worker_id: { label: 'Worker', hint: 'The only one that may run it; any may if empty.' },
  working_dir: { label: 'Directory', hint: 'A new one of its own if empty.' },
  labels: { label: 'Labels', hint: 'One KEY=VALUE in each line.', kind: 'area' },
  env: { label: 'Environment', hint: 'One KEY=VALUE in each line.', kind: 'area' },
  after: { label: 'After', hint: 'Ids of tasks that must complete first, as in t17 t18.' },
};

const EXAMPLE = '{\n  "command": ["echo", "hello"],\n  "labels": {"team": "x"}\n}';

export function SubmitPage() {
  const [isJson, setJson] = useState(false);
  const refusal = refusalFor('submitter');
  return (
    <>
      <div class="page-head">
        <h1>
          <a href={hashOf(['tasks'])}>Tasks</a> / submit
        </h1>
        <div class="actions" role="group" aria-label="How to describe the task">
          <button type="button" aria-pressed={!isJson} onClick={() => setJson(false)}>
            Form
          </button>
          <button type="button" aria-pressed={isJson} onClick={() => setJson(true)}>
            JSON
          </button>
        </div>
      </div>
      {refusal && <p class="notice info">Submitting {refusal}.</p>}
      {isJson ? <JsonForm /> : <FieldForm />}
    </>
  );
}

/** Submits under one key as long as nobody knows what became of it, so that repeating it does no harm. */
function useSubmission() {
  const key = useRef(newKey());
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  async function submit(body: unknown) {
    setBusy(true);
    setError(undefined);
    try {
      const answer = await order<{ task_id: string } | { task_id: string }[]>('POST', '/api/tasks', {
        body,
        idempotencyKey: key.current,
      });
      const ids = [answer ?? []].flat().map((task) => task.task_id);
      say(ids.length === 1 ? `${ids[0]} is submitted.` : `${ids.length} tasks are submitted.`);
      go(ids.length === 1 ? hashOf(['tasks', ids[0] ?? '']) : hashOf(['tasks']));
    } catch (failure) {
      setError(failure);
      // What was refused is another submission once it is corrected.
      if (failure instanceof ProblemError && failure.problem.outcome !== 'unknown') key.current = newKey();
    } finally {
      setBusy(false);
    }
  }
  return { submit, isBusy, error };
}

function FieldForm() {
  const [draft, setDraft] = useState<Draft>(NEW_DRAFT);
  const [own, setOwn] = useState<Partial<Record<Field, string>>>({});
  const { submit, isBusy, error } = useSubmission();
  const form = useRef<HTMLFormElement>(null);
  const told =
    error instanceof ProblemError ? faultsByField(error.problem.errors, fieldOf) : { fields: {}, rest: [] };
  const faults: Partial<Record<Field, string>> = { ...told.fields, ...own };

  async function onSubmit(event: Event) {
    event.preventDefault();
    const built = build(draft);
    setOwn('faults' in built ? built.faults : {});
    if ('task' in built) await submit(built.task);
    // After the faults are drawn.
    requestAnimationFrame(() => form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
  }

  const field = (name: Field) => (
    <FormField
      key={name}
      name={name}
      value={draft[name]}
      fault={faults[name]}
      onInput={(value) => setDraft({ ...draft, [name]: value })}
    />
  );
  const split = splitWords(draft.command);
  return (
    <form ref={form} class="panel form" onSubmit={onSubmit} noValidate>
      {field('command')}
      {'words' in split && split.words.length > 1 && (
        <p class="muted argv" aria-live="polite">
          {split.words.map((word, at) => (
            <code key={at} class="chip">
              {commandLine([word])}
            </code>
          ))}
        </p>
      )}
      <div class="grid">
        {(['name', 'priority', 'cpu', 'memory_mb', 'max_attempts', 'run_timeout'] as const).map(field)}
      </div>
      <div class="grid two">{(['labels', 'env'] as const).map(field)}</div>
      <details
        open={['storage_mb', 'gpu', 'delay', 'worker_id', 'working_dir', 'after'].some(
          (name) => faults[name as Field],
        )}
      >
        <summary>More</summary>
        <div class="grid">
          {(['delay', 'after', 'worker_id', 'working_dir', 'storage_mb', 'gpu'] as const).map(field)}
        </div>
      </details>
      <Failure error={error} what="The task was not accepted" />
      <Faults of={told.rest} />
      <div class="buttons">
        <a class="button" href={hashOf(['tasks'])}>
          Back
        </a>
        <button type="submit" class="primary" disabled={isBusy || refusalFor('submitter') !== null}>
          {isBusy ? 'Submitting…' : 'Submit'}
        </button>
      </div>
    </form>
  );
}

interface FieldProps {
  name: Field;
  value: string;
  fault: string | undefined;
  onInput: (value: string) => void;
}

function FormField({ name, value, fault, onInput }: FieldProps) {
  const { label, hint, kind } = SHAPES[name];
  const shared = {
    id: `field-${name}`,
    name,
    value,
    'aria-invalid': fault !== undefined,
    'aria-describedby': `hint-${name}`,
    autocomplete: 'off',
    spellcheck: false,
  };
  return (
    <div class="field">
      <label for={shared.id}>{label}</label>
      {kind === 'area' ? (
        <textarea {...shared} rows={3} onInput={(event) => onInput(event.currentTarget.value)} />
      ) : (
        <input
          {...shared}
          inputMode={kind === 'number' ? 'decimal' : 'text'}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
      <small id={`hint-${name}`} class={fault ? 'ink-red' : 'muted'}>
        {fault ?? hint}
      </small>
    </div>
  );
}

function Faults({ of }: { of: Fault[] }) {
  if (of.length === 0) return null;
  return (
    <ul class="faults">
      {of.map((fault) => (
        <li key={`${fault.pointer} ${fault.detail}`}>
          {fault.pointer && <code>{fault.pointer}</code>} {fault.detail}
        </li>
      ))}
    </ul>
  );
}

function JsonForm() {
  const [text, setText] = useState(EXAMPLE);
  const [fault, setFault] = useState('');
  const { submit, isBusy, error } = useSubmission();
  async function onSubmit(event: Event) {
    event.preventDefault();
    setFault('');
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch (failure) {
      setFault(failure instanceof Error ? failure.message : String(failure));
      return;
    }
    await submit(body);
  }
  return (
    <form class="panel form" onSubmit={onSubmit}>
      <div class="field">
        <label for="json">A task, or a list of tasks</label>
        <textarea
          id="json"
          class="code"
          rows={16}
          value={text}
          aria-invalid={fault !== ''}
          aria-describedby="json-hint"
          spellcheck={false}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <small id="json-hint" class={fault ? 'ink-red' : 'muted'}>
          {fault || 'All fields of a submission are allowed, as in POST /api/tasks.'}
        </small>
      </div>
      <Failure error={error} what="Nothing was accepted" />
      {error instanceof ProblemError && <Faults of={error.problem.errors} />}
      <div class="buttons">
        <button type="submit" class="primary" disabled={isBusy || refusalFor('submitter') !== null}>
          {isBusy ? 'Submitting…' : 'Submit'}
        </button>
      </div>
    </form>
  );
}
