import { useEffect, useRef, useState } from 'preact/hooks';
import { Turn } from './call/Conversation';
import { Status } from './calls/CallsTable';
import { useCalls } from './calls/list';
import type { CallDetail, Summary } from './lib/api';
import { compact, dollars, duration, when } from './lib/format';
import { useLoad } from './lib/load';

/** Calls that are listed at once. */
const PAGE = 25;
/** How far from what is seen a call's content is kept: beyond it, it is let go, whatever has been read. */
const NEAR = '1200px 0px';

/** A session as one conversation: what was new in each call, and its answer; it goes on as calls come. */
export function Story({ session }: { session: string }) {
  const query = new URLSearchParams({ session, limit: String(PAGE) }).toString();
  const { calls, error, more, loading, loadMore } = useCalls(query, 'oldest', true, () => false);
  return (
    <div class="story" tabIndex={0} role="region" aria-label="Story of the session">
      {calls.map((call, index) => <Entry key={call.id} call={call} first={index === 0} />)}
      {error && <p class="error" role="alert">{error}</p>}
      {loading && calls.length === 0 && <p class="quiet">Loading …</p>}
      {more && <button type="button" class="more" disabled={loading} onClick={loadMore}>Show what came later</button>}
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
