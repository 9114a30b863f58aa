import { useRef, useState } from 'preact/hooks';
import { CallPanel } from '../call/CallPanel';
import type { Settings } from '../lib/api';
import { useKeys } from '../lib/keys';
import { useLoad } from '../lib/load';
import { change, go, href, usePlace } from '../lib/url';
import { CallsTable } from './CallsTable';
import { FilterBar } from './FilterBar';
import { isFiltered, noFilter, query } from './filters';
import { useCalls } from './list';

interface Props {
  /** Parameters that the page itself fixes, such as the session. */
  fixed?: Record<string, string>;
  order?: 'newest' | 'oldest';
  /** What stands above the list instead of the filters. */
  head?: preact.ComponentChildren;
}

/** Calls as a list, and the one that is open beside it. */
export function CallsPage({ fixed = {}, order = 'newest', head }: Props) {
  const { params } = usePlace();
  const [live, setLive] = useState(true);
  const scroller = useRef<HTMLDivElement>(null);
  const asked = query(params);
  for (const [name, value] of Object.entries(fixed)) asked.set(name, value);
  const list = useCalls(asked.toString(), order, live && !params.get('until'), () => (scroller.current?.scrollTop ?? 0) < 60);
  const open = params.get('call');
  const [marked, setMarked] = useState<string | null>(null);
  const selected = open ?? marked;
  // Keys come faster than the page is drawn: each one counts from where the one before has led.
  const at = useRef(selected);
  at.current = selected;

  const select = (index: number) => {
    const call = list.calls[Math.min(Math.max(index, 0), list.calls.length - 1)];
    if (!call) return;
    at.current = call.id;
    setMarked(call.id);
    // Passing by is no step to go back to.
    if (open) change({ call: call.id }, true);
  };
  const move = (by: number) => {
    const index = list.calls.findIndex((call) => call.id === at.current);
    select(index < 0 ? 0 : index + by);
  };
  useKeys({
    j: () => move(1),
    ArrowDown: () => move(1),
    k: () => move(-1),
    ArrowUp: () => move(-1),
    g: () => select(0),
    G: () => select(list.calls.length - 1),
    // What was marked may not be listed any more.
    Enter: () => list.calls.some((call) => call.id === at.current) && change({ call: at.current }),
    Escape: () => (open ? close() : setMarked(null)),
    e: () => change({ errors: params.get('errors') === 'true' ? null : 'true' }),
    p: () => setLive(!live),
  });
  const close = () => {
    setMarked(open);
    change({ call: null });
    scroller.current?.querySelector<HTMLElement>('[role=grid]')?.focus({ preventScroll: true });
  };
  const filtered = isFiltered(params);
  const unknown = noFilter(params.get('search') ?? '');
  return (
    <div class={`calls ${open ? 'split' : ''}`}>
      {head ?? (
        <div class="bar">
          <h1 class="unseen">Calls</h1>
          <FilterBar />
          <Live state={!live ? 'off' : list.live !== 'off' ? list.live : list.error ? 'none' : 'opening'} onToggle={() => setLive(!live)} past={!!params.get('until')} />
        </div>
      )}
      <div class="panes">
        <CallsTable
          key={`${order} ${asked}`}
          list={list}
          selected={selected}
          scroller={scroller}
          onOpen={(call) => { setMarked(call.id); change({ call: call.id }); }}
          empty={
            <div class="empty">
              <h2>{filtered ? 'No call matches' : 'No calls yet'}</h2>
              {filtered
                ? <p>Nothing in the local store fits these filters. {unknown && <><code><bdi>{unknown}</bdi></code> is none of them, and was looked for in the content. </>}<a href={href(location.pathname)}>Clear them</a></p>
                : <HowTo />}
            </div>
          }
        />
        {open && <CallPanel id={open} onClose={close} onPrevious={() => move(-1)} onNext={() => move(1)} onOther={(id) => go(href(location.pathname, new URLSearchParams({ ...Object.fromEntries(params), call: id })))} />}
      </div>
    </div>
  );
}

/** What somebody with an empty store wants to know. */
function HowTo() {
  const { data } = useLoad<Settings>('settings');
  const listens = String(data?.options.proxy_listen ?? '').split(',')[0]!.trim();
  // A free port is known to the one who started it alone.
  const known = /:\d+$/.test(listens) && !listens.endsWith(':0');
  return <p>Send one through the gateway{known && <>, which listens on <code>{listens}</code></>}: it appears here by itself.</p>;
}

const LIVE = { on: 'Live', off: 'Paused', lost: 'Reconnecting', opening: 'Live', none: 'Not live' };

function Live({ state, past, onToggle }: { state: keyof typeof LIVE; past: boolean; onToggle: () => void }) {
  const text = past ? 'Past' : LIVE[state];
  return (
    <button type="button" class={`live ${past ? 'off' : state}`} aria-pressed={state !== 'off'} title="New calls appear by themselves (p)" disabled={past} onClick={onToggle}>
      <span aria-hidden="true" class="dot" /> {text}
    </button>
  );
}
