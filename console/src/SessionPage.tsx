import { CallsPage } from './calls/CallsPage';
import type { Session } from './lib/api';
import { compact, count, dollars, exactly, lasted } from './lib/format';
import { useLoad } from './lib/load';
import { useKeys } from './lib/keys';
import { change, href, usePlace } from './lib/url';
import { Story } from './Story';

/** A session's calls in order, with its totals. */
export function SessionPage({ id }: { id: string }) {
  const { data, error } = useLoad<Session>(`sessions/${encodeURIComponent(id)}`, '', 10_000);
  const { params } = usePlace();
  const story = params.get('as') === 'story';
  const newest = params.get('order') === 'newest';
  const toggle = () => change({ as: story ? null : 'story', call: null });
  useKeys({ t: toggle });
  const head = (
    <div class="session">
      <div class="title">
        <h1>Session <bdi>{id}</bdi></h1>
        {!story && <button type="button" class="toggle" aria-pressed={newest} title="The newest call on top; new ones appear by themselves" onClick={() => change({ order: newest ? null : 'newest' })}>Newest first</button>}
        <button type="button" class="toggle" aria-pressed={story} title="As one conversation (t)" onClick={toggle}>Story</button>
      </div>
      {error && <p class="error" role="alert">{error}</p>}
      {data && (
        <div class="facts">
          <Fact name="Calls" value={count(data.calls)} />
          <Fact name="Errors" value={data.errors ? <a class="bad" href={href('/', { session: id, errors: 'true' })}>{count(data.errors)}</a> : '0'} />
          <Fact name="Tokens in" value={compact(data.tokens_in)} />
          <Fact name="Tokens out" value={compact(data.tokens_out)} />
          <Fact name="Cost" value={dollars(data.cost)} />
          <Fact name="Lasted" value={lasted(data)} />
          <Fact name="First call" value={exactly(data.first).slice(0, 19)} />
          {data.users.length > 0 && <div><span class="name">Users</span><span class="value">{data.users.map((user, index) => <span key={user}>{index > 0 && ', '}<a href={href('/', { user })}><bdi>{user}</bdi></a></span>)}</span></div>}
        </div>
      )}
    </div>
  );
  if (story) return <div class="calls">{head}<Story session={id} /></div>;
  return <CallsPage fixed={{ session: id }} order={newest ? 'newest' : 'oldest'} head={head} />;
}

export function Fact({ name, value }: { name: string; value: preact.ComponentChildren }) {
  return (
    <div>
      <span class="name">{name}</span>
      <span class="value">{value}</span>
    </div>
  );
}
