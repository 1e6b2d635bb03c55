// Refusals of the API, as RFC 9457 has them.

export interface Fault {
  pointer: string;
  detail: string;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  errors: Fault[];
  outcome: 'rejected' | 'unknown' | null;
  request_id: string | null;
}

/** Failure of a request: the server's own words where it said any. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
    this.name = 'ProblemError';
  }

  get status(): number {
    return this.problem.status;
  }

  /** Last part of the type, as in `no-leader`. */
  get kind(): string {
    return this.problem.type.split(':').at(-1) ?? '';
  }
}

/** Reads a refusal. A body that is none, such as a proxy's page, is told of by its status alone. */
export function readProblem(status: number, body: string): Problem {
  const told = parse(body);
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const faults = Array.isArray(told.errors) ? told.errors : [];
  return {
    type: text(told.type),
    title: text(told.title),
    status,
    detail: text(told.detail) || text(told.title) || `the server answered with status ${status}`,
    errors: faults.map((fault) => ({ pointer: text(fault?.pointer), detail: text(fault?.detail) })),
    outcome: told.outcome === 'rejected' || told.outcome === 'unknown' ? told.outcome : null,
    request_id: text(told.request_id) || null,
  };
}

function parse(body: string): Record<string, unknown> {
  try {
    const told: unknown = JSON.parse(body);
    return typeof told === 'object' && told !== null ? (told as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Describes any failure in words for people. */
export function wordsOf(error: unknown): string {
  if (error instanceof ProblemError) {
    const outcome = error.problem.outcome === 'unknown' ? ' It may have taken effect nevertheless.' : '';
    return `${error.message}${outcome && /[.!?]$/.test(error.message) ? outcome : outcome && `.${outcome}`}`;
  }
  if (error instanceof TypeError) return 'this master does not answer';
  return error instanceof Error ? error.message : String(error);
}

/** Returns the faults of a refusal by the field that a form shows, and those that belong to no field. */
export function faultsByField(
  faults: readonly Fault[],
  fieldOf: (pointer: string) => string | null,
): { fields: Record<string, string>; rest: Fault[] } {
  const fields: Record<string, string> = {};
  const rest: Fault[] = [];
  for (const fault of faults) {
    const field = fieldOf(fault.pointer);
    if (field === null) rest.push(fault);
    else fields[field] = fields[field] ? `${fields[field]}; ${fault.detail}` : fault.detail;
  }
  return { fields, rest };
}
