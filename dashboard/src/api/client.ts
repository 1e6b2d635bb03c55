// Requests to the master that has served the page.
import { signal } from '@preact/signals';
import { onServerDate } from '../live/clock';
import { ProblemError, readProblem } from './problem';
import { requestIdOf } from './request-id';

const TOKEN_KEY = 'cloudai.token';
/** A replica that has heard nothing of its leader for so long shows what may be outdated. */
const STALE_MS = 3_000;

/** Token with which requests are sent; kept for this tab only. */
export const token = signal<string | null>(sessionStorage.getItem(TOKEN_KEY));
/** Reason for which a token is asked for; null while none is needed. */
export const signInReason = signal<string | null>(null);

export function setToken(value: string | null): void {
  if (value === null) sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, value);
  signInReason.value = null;
  token.value = value;
}

/** Body of an answer and how old what it says may be. */
export interface Answer<T> {
  body: T;
  /** Milliseconds since the answering master has heard its leader, if that is worth telling. */
  staleMs: number | null;
}

export interface Options {
  method?: string;
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** Reason that goes into the trail, as a part of the request's id. */
  reason?: string | undefined;
  idempotencyKey?: string;
  headers?: Record<string, string>;
}

export function headersOf(options: Options = {}): Headers {
  const headers = new Headers({ accept: 'application/json', ...options.headers });
  if (token.value) headers.set('authorization', `Bearer ${token.value}`);
  if (options.body !== undefined) headers.set('content-type', 'application/json');
  if (options.reason) headers.set('x-request-id', requestIdOf(options.reason));
  if (options.idempotencyKey) headers.set('idempotency-key', options.idempotencyKey);
  return headers;
}

/** Sends a request and returns the response, or throws the refusal. */
export async function send(path: string, options: Options = {}): Promise<Response> {
  const sentToken = token.value;
  const init: RequestInit = {
    method: options.method ?? 'GET',
    headers: headersOf(options),
    cache: 'no-store',
  };
  if (options.body !== undefined) init.body = JSON.stringify(options.body);
  if (options.signal) init.signal = options.signal;
  const response = await fetch(path, init);
  onServerDate(response.headers.get('date'));
  if (response.ok) return response;
  const problem = readProblem(response.status, await response.text());
  // The answer to a token that was replaced meanwhile says nothing about the new one.
  if (response.status === 401 && token.value === sentToken) signInReason.value = problem.detail;
  throw new ProblemError(problem);
}

/**
 * Reads what this master knows. That needs no leader, costs the leader nothing, and is never older than
 * the events that the same master has sent.
 */
export async function read<T>(path: string, signal?: AbortSignal): Promise<Answer<T>> {
  const response = await send(withConsistency(path), { signal });
  const contact = response.headers.get('x-cluster-last-contact-ms');
  const staleMs = contact === null ? null : Number(contact);
  const body = response.status === 204 ? null : await response.json();
  return { body: body as T, staleMs: staleMs !== null && staleMs > STALE_MS ? staleMs : null };
}

function withConsistency(path: string): string {
  return `${path}${path.includes('?') ? '&' : '?'}consistency=stale`;
}

/** Gives an order and returns the answer's body; null if it has none. */
export async function order<T>(method: string, path: string, options: Options = {}): Promise<T | null> {
  const response = await send(path, { ...options, method });
  const text = await response.text();
  return text === '' ? null : (JSON.parse(text) as T);
}

/** Draws a key under which a submission may be repeated. */
export function newKey(): string {
  // `crypto.randomUUID` is missing where the page came in clear text.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
