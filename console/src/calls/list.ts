// The list of calls: pages from the API, and what is stored meanwhile.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, type CallsPage, type Summary, get } from '../lib/api';

/** Calls that a list keeps while nobody scrolls: beyond it the oldest are let go, and read again when they are wanted. */
const KEPT = 10_000;

export interface Calls {
  calls: Summary[];
  /** Ids that have just come. */
  fresh: Set<string>;
  /** There is more to load. */
  more: boolean;
  loading: boolean;
  error: string | null;
  /** How far back has been looked, while nothing was found. */
  lookedBackTo: string | null;
  live: 'on' | 'off' | 'lost';
  loadMore: () => void;
}

interface State {
  /** The question that it answers. */
  of: string;
  calls: Summary[];
  fresh: Set<string>;
  next: string | null;
  lookedBackTo: string | null;
}

const EMPTY: State = { of: '', calls: [], fresh: new Set(), next: null, lookedBackTo: null };

/** Micros since the epoch, as a number that keeps them. */
function began(call: Summary): number {
  return Number(call.cursor.split('.')[0]);
}

/** Puts calls where they belong: the newest first. Most belong to the top. */
export function merge(calls: Summary[], arrived: Summary[], bySeq: boolean): Summary[] {
  const after = bySeq
    ? (a: Summary, b: Summary) => a.seq > b.seq
    : (a: Summary, b: Summary) => began(a) > began(b) || (began(a) === began(b) && a.seq > b.seq);
  const sorted = [...arrived].sort((a, b) => (after(a, b) ? -1 : 1));
  const merged: Summary[] = [];
  let index = 0;
  for (const call of sorted) {
    while (index < calls.length && !after(call, calls[index]!)) merged.push(calls[index++]!);
    merged.push(call);
  }
  // What follows is copied in pieces: an argument list has a limit.
  return merged.concat(calls.slice(index));
}

export function useCalls(query: string, order: 'newest' | 'oldest', live: boolean, atTop: () => boolean): Calls {
  const [state, setState] = useState<State>(EMPTY);
  const [status, setStatus] = useState<{ loading: boolean; error: string | null; again?: boolean }>({ loading: true, error: null });
  const [link, setLink] = useState<'on' | 'off' | 'lost'>('off');
  const [round, setRound] = useState(0);
  const abort = useRef(new AbortController());
  const busy = useRef(false);
  const position = useRef<number | null>(null);
  const question = `${order} ${query}`;
  // Never the calls of one list in another, not even until the first of them come: it would be scrolled to where those were.
  const isOld = state.of !== question;
  const shown = isOld ? EMPTY : state;
  const bySeq = new URLSearchParams(query).has('search');

  const load = useCallback(
    async (cursor: string | null) => {
      if (busy.current) return;
      busy.current = true;
      const { signal } = abort.current;
      const params = new URLSearchParams(query);
      params.set('order', order);
      if (cursor) params.set('cursor', cursor);
      setStatus({ loading: true, error: null });
      try {
        const page = await get<CallsPage>('calls', params, signal);
        // Of the oldest first, what was stored while pages were read comes with them.
        if (!cursor || order === 'oldest') position.current = page.position;
        setState((old) => ({
          of: question,
          calls: cursor ? old.calls.concat(page.calls) : page.calls,
          fresh: cursor ? old.fresh : new Set(),
          next: page.next,
          lookedBackTo: page.calls.length ? null : page.looked_back_to,
        }));
        setStatus({ loading: false, error: null });
      } catch (error) {
        if (signal.aborted) return;
        const again = error instanceof ApiError && (error.status === 0 || error.status >= 500);
        setStatus({ loading: false, error: (error as Error).message, again });
      } finally {
        if (!signal.aborted) busy.current = false;
      }
    },
    [query, order],
  );

  useEffect(() => {
    const controller = new AbortController();
    abort.current = controller;
    busy.current = false;
    position.current = null;
    setState({ ...EMPTY, of: question });
    load(null);
    return () => controller.abort();
  }, [load, round]);

  // A list that could not be read is asked for again: the gateway may be starting, or its store be brought up to date.
  useEffect(() => {
    if (!status.again || position.current !== null) return;
    const timer = setTimeout(() => setRound((round) => round + 1), 3_000);
    return () => clearTimeout(timer);
  }, [status]);

  // What is new belongs to the end of the oldest first: it has to be there.
  const ready = !isOld && position.current !== null && (order === 'newest' || state.next === null);
  useEffect(() => {
    if (!live || !ready) {
      setLink('off');
      return;
    }
    const params = new URLSearchParams(query);
    params.set('after', String(position.current));
    const source = new EventSource(`/api/v1/events?${params}`);
    source.onopen = () => setLink('on');
    source.onerror = () => setLink('lost');
    source.addEventListener('calls', (event) => {
      const arrived: Summary[] = JSON.parse(event.data);
      position.current = Number(event.lastEventId);
      setState((old) => {
        const known = new Set((order === 'newest' ? old.calls.slice(0, 1000) : old.calls.slice(-1000)).map((call) => call.id));
        const news = arrived.filter((call) => !known.has(call.id));
        if (order === 'oldest') {
          const calls = merge([...old.calls].reverse(), news, bySeq).reverse();
          return { ...old, calls, fresh: new Set(news.map((call) => call.id)), lookedBackTo: null };
        }
        let calls = merge(old.calls, news, bySeq);
        let next = old.next;
        if (calls.length > KEPT && atTop()) {
          calls = calls.slice(0, KEPT / 2);
          next = calls.at(-1)?.cursor ?? null;
        }
        return { ...old, calls, next, fresh: new Set(news.map((call) => call.id)), lookedBackTo: null };
      });
    });
    // More was stored than is worth sending: the list is read again.
    source.addEventListener('reset', () => setRound((round) => round + 1));
    return () => source.close();
  }, [query, order, live, ready, round]);

  const loadMore = useCallback(() => {
    if (shown.next) load(shown.next);
  }, [shown.next, load]);

  return {
    calls: shown.calls,
    fresh: shown.fresh,
    more: shown.next !== null,
    loading: isOld || status.loading,
    error: isOld ? null : status.error,
    lookedBackTo: shown.lookedBackTo,
    live: link,
    loadMore,
  };
}
