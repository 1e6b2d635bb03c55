// Light or dark: as the system has it, or as the switch says.
import { effect, signal } from '@preact/signals';

const KEY = 'cloudai.theme';
export type Theme = 'auto' | 'light' | 'dark';

function stored(): Theme {
  const value = localStorage.getItem(KEY);
  return value === 'light' || value === 'dark' ? value : 'auto';
}

const prefersDark = window.matchMedia('(prefers-color-scheme: dark)');
const systemIsDark = signal(prefersDark.matches);
prefersDark.addEventListener('change', () => {
  systemIsDark.value = prefersDark.matches;
});

export const theme = signal<Theme>(stored());
/** The one that is shown. */
export const shownTheme = signal<'light' | 'dark'>('light');

effect(() => {
  const shown = theme.value === 'auto' ? (systemIsDark.value ? 'dark' : 'light') : theme.value;
  document.documentElement.dataset.theme = shown;
  shownTheme.value = shown;
});

export function nextTheme(): void {
  const order: Theme[] = ['auto', 'light', 'dark'];
  theme.value = order[(order.indexOf(theme.value) + 1) % order.length] ?? 'auto';
  localStorage.setItem(KEY, theme.value);
}
