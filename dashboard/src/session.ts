// As whom the cluster sees this page, and what that allows.
import { signal } from '@preact/signals';
import { order, token } from './api/client';
import { type Identity, ROLES, type Role } from './api/types';

export const identity = signal<Identity | null>(null);

/** Asks again whenever the token has changed. */
export function watchIdentity(): void {
  token.subscribe(() => void ask());
}

async function ask(): Promise<void> {
  try {
    identity.value = await order<Identity>('GET', '/api/users/me');
  } catch {
    // Without an answer nothing is known, and the server decides about each order anyway.
    identity.value = null;
  }
}

/** Returns why the caller may not do what needs the role; null if it may, or nobody knows. */
export function refusalFor(role: Role): string | null {
  const own = (ROLES as readonly string[]).indexOf(identity.value?.role ?? '');
  if (own < 0 || own >= ROLES.indexOf(role)) return null;
  return `needs the role ${role}; you are ${identity.value?.role}`;
}
