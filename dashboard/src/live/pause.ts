// The wait before a connection is tried again.

const PAUSES_MS = [300, 700, 1_500, 3_000, 5_000];

/** Returns the wait before the next attempt to connect. */
export function pauseAfter(failures: number, random: () => number = Math.random): number {
  const pause = PAUSES_MS[Math.min(failures, PAUSES_MS.length) - 1] ?? 0;
  return Math.round(pause * (0.75 + random() / 2));
}
