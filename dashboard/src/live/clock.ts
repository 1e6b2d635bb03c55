// A clock of seconds for ages that are shown. It goes as that of the master does, because ages are those of
// the master's timestamps.
import { signal } from '@preact/signals';

/** A header has whole seconds, and takes a while to arrive. */
const OFFSET_MIN_MS = 2_000;

let offsetMs = 0;

/** Milliseconds since the epoch by the clock of the master, as far as it is known. */
export function currentTime(): number {
  return Date.now() + offsetMs;
}

export const now = signal(currentTime());

/** Takes the time that the header of an answer names. */
export function onServerDate(date: string | null): void {
  const offset = date === null ? Number.NaN : Date.parse(date) - Date.now();
  if (!Number.isFinite(offset)) return;
  const isOwn = Math.abs(offset) < OFFSET_MIN_MS;
  const known = isOwn ? 0 : offset;
  if (Math.abs(known - offsetMs) >= OFFSET_MIN_MS) offsetMs = known;
}

setInterval(() => {
  if (document.visibilityState === 'visible') now.value = currentTime();
}, 1_000);

document.addEventListener('visibilitychange', () => {
  now.value = currentTime();
});
