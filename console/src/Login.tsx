import { useState } from 'preact/hooks';
import { post } from './lib/api';

/** Asks for the token that the gateway was started with. */
export function Login({ onDone }: { onDone: () => void }) {
  const [token, setToken] = useState('');
  const [error, setError] = useState('');
  const send = async (event: Event) => {
    event.preventDefault();
    const answer = await post('login', { token }).catch(() => null);
    if (answer?.ok) return onDone();
    setError(answer?.status === 403 ? 'That is not the token.' : 'The gateway does not answer.');
  };
  return (
    <main class="login">
      <form onSubmit={send}>
        <h1><img src="/icon.svg" alt="" width="20" height="20" /> AI Tracing</h1>
        <label>
          Token
          <input type="password" autocomplete="current-password" autofocus value={token} onInput={(event) => setToken(event.currentTarget.value)} />
        </label>
        <p class="quiet">It is what the gateway was started with: <code>AI_TRACING_CONSOLE_TOKEN</code>.</p>
        {error && <p class="error" role="alert">{error}</p>}
        <button type="submit">Sign in</button>
      </form>
    </main>
  );
}
