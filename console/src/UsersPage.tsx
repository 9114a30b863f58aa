import type { UsersPage as Page } from './lib/api';
import { compact, count, dollars, percent, when } from './lib/format';
import { useLoad } from './lib/load';
import { change, href, usePlace } from './lib/url';
import { RangeSelect } from './RangeSelect';

const SORTS: [string, string][] = [['calls', 'Calls'], ['errors', 'Errors'], ['cost', 'Cost'], ['last', 'Last call']];

/** Users by volume, errors or cost. */
export function UsersPage() {
  const { params } = usePlace();
  const since = params.get('since') ?? '1d';
  const until = params.get('until');
  const sort = params.get('sort') ?? 'calls';
  const { data, error, loading } = useLoad<Page>('users', new URLSearchParams({ since, ...(until ? { until } : {}), sort }).toString(), 15_000);
  const heading = (name: string, label: string, number = true) => (
    <th class={number ? 'number' : ''} aria-sort={sort === name ? 'descending' : undefined}>
      <button type="button" class="link" onClick={() => change({ sort: name })}>{label}{sort === name ? ' ↓' : ''}</button>
    </th>
  );
  const titles = Object.fromEntries(SORTS);
  return (
    <div class="page">
      <div class="bar"><h1>Users</h1><span class="spacer" /><RangeSelect usual="1d" /></div>
      {error && <p class="error" role="alert">{error}</p>}
      {!data && loading && <p class="quiet">Loading …</p>}
      {data && data.users.length === 0 && <div class="empty"><h2>No users</h2><p>Calls belong to a user when they send <code>X-User-Id</code>, <code>metadata.user_id</code> or <code>user</code>.</p></div>}
      {data && data.users.length > 0 && (
        <div class="wide" tabIndex={0} role="region" aria-label="Users">
          <table>
            <thead>
              <tr><th>User</th>{heading('calls', titles.calls!)}{heading('errors', titles.errors!)}<th class="number">Error rate</th><th class="number">Tokens in</th><th class="number">Tokens out</th>{heading('cost', titles.cost!)}{heading('last', titles.last!, false)}</tr>
            </thead>
            <tbody>
              {data.users.map((user) => (
                <tr key={user.id}>
                  <td class="id" title={user.id}><a href={href('/', { user: user.id, since, until })}><bdi>{user.id}</bdi></a></td>
                  <td class="number">{count(user.calls)}</td>
                  <td class={`number ${user.errors ? 'bad' : ''}`}>{user.errors ? <a href={href('/', { user: user.id, since, until, errors: 'true' })}>{count(user.errors)}</a> : 0}</td>
                  <td class="number">{percent(user.errors, user.calls)}</td>
                  <td class="number">{compact(user.tokens_in)}</td>
                  <td class="number">{compact(user.tokens_out)}</td>
                  <td class="number">{dollars(user.cost)}</td>
                  <td><time dateTime={user.last}>{when(user.last)}</time></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && data.known > data.users.length && <p class="quiet">The first {count(data.users.length)} of {count(data.known)} users.</p>}
      {data && data.others > 0 && <p class="quiet">{count(data.others)} calls are of further users.</p>}
      {data?.summed_since && <p class="quiet">Only calls since {when(data.summed_since)} are summed: there are too many before.</p>}
    </div>
  );
}
