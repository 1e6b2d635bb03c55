// A clock of seconds, for ages that are shown.
import { signal } from '@preact/signals';

export const now = signal(Date.now());

setInterval(() => {
  if (document.visibilityState === 'visible') now.value = Date.now();
}, 1_000);

document.addEventListener('visibilitychange', () => {
  now.value = Date.now();
});
