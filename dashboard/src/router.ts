// Addresses within the page: everything behind the hash, so that a master serves one file for all of them.
import { computed, signal } from '@preact/signals';

export interface Route {
  /** Parts of the path, decoded. */
  parts: string[];
  params: URLSearchParams;
}

export function parseHash(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  return { parts: path.split('/').filter(Boolean).map(decode), params: new URLSearchParams(query) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function hashOf(parts: readonly string[], params?: URLSearchParams): string {
  const path = parts.map(encodeURIComponent).join('/');
  return `#/${path}${params && params.size > 0 ? `?${params}` : ''}`;
}

const hash = signal(location.hash);
export const route = computed(() => parseHash(hash.value));

window.addEventListener('hashchange', () => {
  hash.value = location.hash;
});

export function go(to: string): void {
  location.hash = to;
}

/** Goes there without a further entry of the history. */
export function replace(to: string): void {
  history.replaceState(null, '', to);
  hash.value = location.hash;
}
