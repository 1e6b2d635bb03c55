// Asks for a token where the cluster lets nobody in without one.
import { useState } from 'preact/hooks';
import { setToken, signInReason, token } from './api/client';
import { Dialog } from './ui/dialog';

export function SignIn() {
  const [value, setValue] = useState('');
  const reason = signInReason.value;
  if (reason === null) return null;
  return (
    <Dialog title="Sign in" onClose={() => undefined}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!value.trim()) return;
          setToken(value.trim());
          setValue('');
        }}
      >
        <p class="notice info" role="alert">
          {reason}
        </p>
        <label>
          Token
          <input
            type="password"
            value={value}
            onInput={(event) => setValue(event.currentTarget.value)}
            autocomplete="off"
            required
          />
          <small class="muted">
            Kept in this tab until it is closed. <code>clusterctl user token create NAME --role viewer</code>{' '}
            makes one.
          </small>
        </label>
        <div class="buttons">
          {token.value && (
            <button type="button" onClick={() => setToken(null)}>
              Without a token
            </button>
          )}
          <button type="submit" class="primary">
            Sign in
          </button>
        </div>
      </form>
    </Dialog>
  );
}
