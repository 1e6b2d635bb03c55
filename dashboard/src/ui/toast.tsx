// What became of an order: said once, then gone.
import { signal } from '@preact/signals';

const SHOWN_MS = 6_000;
const SHOWN_MAX = 4;

interface Toast {
  key: number;
  text: string;
}

const toasts = signal<Toast[]>([]);
let keys = 0;

export function say(text: string): void {
  keys += 1;
  const toast = { key: keys, text };
  toasts.value = [...toasts.value.slice(1 - SHOWN_MAX), toast];
  setTimeout(() => {
    toasts.value = toasts.value.filter((shown) => shown !== toast);
  }, SHOWN_MS);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <div key={toast.key} class="toast">
          {toast.text}
        </div>
      ))}
    </div>
  );
}
