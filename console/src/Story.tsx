import { useEffect, useRef, useState } from 'preact/hooks';
import { Turn } from './call/Conversation';
import { Status } from './calls/CallsTable';
import { type CallDetail, type CallsPage, type Summary, get } from './lib/api';
import { compact, dollars, duration, when } from './lib/format';
import { useLoad } from './lib/load';

/** Calls that are listed at once. */
const PAGE = 25;

/** A session as one conversation: what was new in each call, and its answer. */
export function Story({ session }: { session: string }) {
  const [calls, setCalls] = useState<Summary[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const load = (cursor: string | null, signal?: AbortSignal) => {
    const params = new URLSearchParams({ session, order: 'oldest', limit: String(PAGE) });
    if (cursor) params.set('cursor', cursor);
    get<CallsPage>('calls', params, signal)
      .then((page) => {
        setCalls((old) => (cursor ? old.concat(page.calls) : page.calls));
        setNext(page.next);
        setError(null);
      })
      .catch((error: Error) => signal?.aborted || setError(error.message));
  };
  useEffect(() => {
    const abort = new AbortController();
    load(null, abort.signal);
    return () => abort.abort();
  }, [session]);
  return (
    <div class="story" tabIndex={0} role="region" aria-label="Story of the session">
      {calls.map((call, index) => <Entry key={call.id} call={call} first={index === 0} />)}
      {error && <p class="error" role="alert">{error}</p>}
      {next && <button type="button" class="more" onClick={() => load(next)}>Show what came later</button>}
    </div>
  );
}

/** One call; its content is read when it comes into sight. */
function Entry({ call, first }: { call: Summary; first: boolean }) {
  const box = useRef<HTMLElement>(null);
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && setSeen(true), { rootMargin: '300px' });
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  const { data, error } = useLoad<CallDetail>(seen ? `calls/${encodeURIComponent(call.id)}` : null);
  return (
    <section class="entry" ref={box}>
      <h2>
        <a href={`?call=${encodeURIComponent(call.id)}`}><time dateTime={call.started_at}>{when(call.started_at)}</time></a>
        <bdi>{call.model ?? call.provider}</bdi>
        <Status call={call} />
        <span class="quiet">{duration(call.duration_ms)} · {compact(call.tokens_in)} in · {compact(call.tokens_out)} out · {dollars(call.cost)}</span>
      </h2>
      {error && <p class="error">{error}</p>}
      {data ? <Turn record={data.record} first={first} /> : !error && <p class="quiet">Loading …</p>}
    </section>
  );
}
