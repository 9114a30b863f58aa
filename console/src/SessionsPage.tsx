import { useEffect, useState } from 'preact/hooks';
import { type Session, type SessionsPage as Page, get } from './lib/api';
import { compact, count, dollars, exactly, lasted, when } from './lib/format';
import { href, usePlace } from './lib/url';
import { RangeSelect } from './RangeSelect';

/** Sessions, those with the newest call first. */
export function SessionsPage() {
  const { params } = usePlace();
  const query = new URLSearchParams([...params].filter(([name]) => ['since', 'until', 'user', 'project'].includes(name))).toString();
  const [sessions, setSessions] = useState<Session[]>([]);
  const [state, setState] = useState<{ next: string | null; loading: boolean; error: string | null }>({ next: null, loading: true, error: null });
  const load = (cursor: string | null, signal?: AbortSignal) => {
    const asked = new URLSearchParams(query);
    if (cursor) asked.set('cursor', cursor);
    setState((old) => ({ ...old, loading: true, error: null }));
    get<Page>('sessions', asked, signal)
      .then((page) => {
        setSessions((old) => (cursor ? old.concat(page.sessions) : page.sessions));
        setState({ next: page.next, loading: false, error: null });
      })
      .catch((error: Error) => signal?.aborted || setState({ next: cursor, loading: false, error: error.message }));
  };
  useEffect(() => {
    const abort = new AbortController();
    setSessions([]);
    load(null, abort.signal);
    return () => abort.abort();
  }, [query]);
  return (
    <div class="page">
      <div class="bar"><h1>Sessions</h1><span class="spacer" /><RangeSelect /></div>
      {state.error && <p class="error" role="alert">{state.error}</p>}
      {sessions.length > 0 && (
        <div class="wide" tabIndex={0} role="region" aria-label="Sessions">
          <table>
            <thead>
              <tr><th>Session</th><th>Users</th><th>Models</th><th class="number">Calls</th><th class="number">Errors</th><th class="number">Tokens</th><th class="number">Cost</th><th class="number">Lasted</th><th>Last call</th></tr>
            </thead>
            <tbody>
              {sessions.map((session) => (
                <tr key={session.id}>
                  <td class="id" title={session.id}><a href={`/sessions/${encodeURIComponent(session.id)}`}><bdi>{session.id}</bdi></a></td>
                  <td title={session.users.join(', ')}>{session.users.map((user, index) => <span key={user}>{index > 0 && ', '}<a href={href('/', { user })}><bdi>{user}</bdi></a></span>)}</td>
                  <td title={session.models.join(', ')}><bdi>{session.models.join(', ')}</bdi></td>
                  <td class="number">{count(session.calls)}</td>
                  <td class={`number ${session.errors ? 'bad' : ''}`}>{session.errors ? <a href={href('/', { session: session.id, errors: 'true' })}>{count(session.errors)}</a> : 0}</td>
                  <td class="number">{compact(session.tokens_in + session.tokens_out)}</td>
                  <td class="number">{dollars(session.cost)}</td>
                  <td class="number">{lasted(session)}</td>
                  <td><time dateTime={session.last} title={exactly(session.last)}>{when(session.last)}</time></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {state.loading ? <p class="quiet">Loading …</p>
        : state.next ? <button type="button" class="more" onClick={() => load(state.next)}>Show more</button>
        : sessions.length === 0 && !state.error && <div class="empty"><h2>No sessions</h2><p>Calls belong to a session when they send <code>X-Session-Id</code> or <code>metadata.session_id</code>.</p></div>}
    </div>
  );
}
