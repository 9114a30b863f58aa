import { useEffect, useRef, useState } from 'preact/hooks';
import { Turn } from './call/Conversation';
import { Status } from './calls/CallsTable';
import { type CallDetail, type CallsPage, type Summary, get } from './lib/api';
import { compact, dollars, duration, when } from './lib/format';
import { useLoad } from './lib/load';

/** Calls that are listed at once. */
const PAGE = 25;
/** How far from what is seen a call's content is kept: beyond it, it is let go, whatever has been read. */
const NEAR = '1200px 0px';

/** A session as one conversation: what was new in each call, and its answer. */
export function Story({ session }: { session: string }) {
  const [calls, setCalls] = useState<Summary[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [loading, setLoading] = useState(true);
  const load = (cursor: string | null, signal?: AbortSignal) => {
    const params = new URLSearchParams({ session, order: 'oldest', limit: String(PAGE) });
    if (cursor) params.set('cursor', cursor);
    setLoading(true);
    get<CallsPage>('calls', params, signal)
      .then((page) => {
        setCalls((old) => (cursor ? old.concat(page.calls) : page.calls));
        setNext(page.next);
        setError(null);
        setLoading(false);
      })
      .catch((error: Error) => {
        if (signal?.aborted) return;
        setError(error.message);
        setLoading(false);
      });
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
      {next && <button type="button" class="more" disabled={loading} onClick={() => load(next)}>Show what came later</button>}
    </div>
  );
}

/** One call; its content is there while it is near what is seen. */
function Entry({ call, first }: { call: Summary; first: boolean }) {
  const box = useRef<HTMLElement>(null);
  const [near, setNear] = useState(false);
  // What it was tall, so that nothing moves when its content goes and comes.
  const [height, setHeight] = useState(0);
  useEffect(() => {
    const element = box.current!;
    const observer = new IntersectionObserver(
      (changes) => {
        const change = changes.at(-1)!;
        if (!change.isIntersecting) setHeight(change.boundingClientRect.height);
        setNear(change.isIntersecting);
      },
      { root: element.closest('.story'), rootMargin: NEAR },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return (
    <section class="entry" ref={box} style={{ minHeight: height ? `${height}px` : undefined }}>
      <h2>
        <a href={`?call=${encodeURIComponent(call.id)}`}><time dateTime={call.started_at}>{when(call.started_at)}</time></a>
        <bdi>{call.model ?? call.provider}</bdi>
        <Status call={call} />
        <span class="quiet">{duration(call.duration_ms)} · {compact(call.tokens_in)} in · {compact(call.tokens_out)} out · {dollars(call.cost)}</span>
      </h2>
      {near && <Content call={call} first={first} onShown={() => setHeight(0)} />}
    </section>
  );
}

function Content({ call, first, onShown }: { call: Summary; first: boolean; onShown: () => void }) {
  const { data, error } = useLoad<CallDetail>(`calls/${encodeURIComponent(call.id)}`);
  useEffect(() => {
    if (data) onShown();
  }, [data]);
  if (error) return <p class="error">{error}</p>;
  return data ? <Turn record={data.record} first={first} /> : <p class="quiet">Loading …</p>;
}
