// Dialogs: of the browser, so that focus stays inside and Escape closes them.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Failure } from './basics';

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
}

export function Dialog({ title, onClose, children, wide = false }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    ref.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={wide ? 'wide' : ''}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClose={() => {
        // A browser may close it regardless, as Chromium does when Escape is pressed twice.
        onClose();
        requestAnimationFrame(() => {
          if (ref.current?.isConnected && !ref.current.open) ref.current.showModal();
        });
      }}
    >
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  /** What will happen. */
  children: ComponentChildren;
  /** Label of the button that does it. */
  verb: string;
  /** Word that has to be typed for what cannot be taken back. */
  word?: string;
  /** Absent where the order is not in the trail. */
  asksReason?: boolean;
  isDangerous?: boolean;
  act: (reason: string) => Promise<void>;
  onClose: () => void;
}

/** Asks for a reason and a confirmation, then acts; stays open and says why if that fails. */
export function Confirm({
  title,
  children,
  verb,
  word,
  asksReason = true,
  isDangerous = false,
  act,
  onClose,
}: ConfirmProps) {
  const [reason, setReason] = useState('');
  const [typed, setTyped] = useState('');
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const isReady = !isBusy && (!asksReason || reason.trim().length >= 3) && (!word || typed === word);

  async function submit(event: Event) {
    event.preventDefault();
    if (!isReady) return;
    setBusy(true);
    setError(undefined);
    try {
      await act(reason.trim());
      onClose();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit}>
        <div class="prose">{children}</div>
        {asksReason && (
          <label>
            Reason
            <input
              value={reason}
              onInput={(event) => setReason(event.currentTarget.value)}
              required
              minLength={3}
              maxLength={200}
              autocomplete="off"
              aria-describedby="reason-hint"
            />
            <small id="reason-hint" class="muted">
              Kept in the trail of orders as the id of the request: letters and digits, up to 57 of them.
            </small>
          </label>
        )}
        {word && (
          <label>
            <span>
              Type <code>{word}</code> to confirm
            </span>
            <input
              value={typed}
              onInput={(event) => setTyped(event.currentTarget.value)}
              autocomplete="off"
              spellcheck={false}
            />
          </label>
        )}
        <Failure error={error} />
        <div class="buttons">
          <button type="button" onClick={onClose}>
            Back
          </button>
          <button type="submit" class={isDangerous ? 'danger' : 'primary'} disabled={!isReady}>
            {isBusy ? 'Working…' : verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
