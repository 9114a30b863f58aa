import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Summary } from '../lib/api';
import { UNKNOWN, clock, compact, count, dollars, duration, exactly, perSecond, shortly, when } from '../lib/format';
import type { Calls } from './list';

/** Height of a row in pixels, as the style sheet has it. */
const ROW = 30;
/** Rows kept above and below what is seen. */
const SPARE = 12;

interface Column {
  name: string;
  title?: string;
  number?: boolean;
  /** 1: left out first when there is little room. */
  need: 1 | 2 | 3 | 4;
  of: (call: Summary) => preact.ComponentChildren;
}

const COLUMNS: Column[] = [
  { name: 'Time', need: 4, of: (call) => <time dateTime={call.started_at} title={exactly(call.started_at)}>{shortly(call.started_at)}</time> },
  { name: 'Status', need: 4, of: (call) => <Status call={call} /> },
  { name: 'Route', title: 'Route, service or path', need: 2, of: (call) => call.route ?? call.service ?? call.name },
  { name: 'Model', need: 4, of: (call) => call.model ?? UNKNOWN },
  { name: 'Provider', need: 1, of: (call) => call.provider },
  { name: 'User', need: 3, of: (call) => call.user_id ?? UNKNOWN },
  { name: 'Session', need: 1, of: (call) => call.session_id ?? UNKNOWN },
  { name: 'In', title: 'Prompt tokens; ~ is an estimate', need: 2, number: true, of: (call) => estimated(call, call.tokens_in) },
  { name: 'Cached', title: 'Prompt tokens read from a cache', need: 1, number: true, of: (call) => compact(call.tokens_cached) },
  { name: 'Out', title: 'Completion tokens, reasoning included; ~ is an estimate', need: 2, number: true, of: (call) => estimated(call, call.tokens_out) },
  { name: 'Reasoning', title: 'Reasoning tokens, part of those out', need: 1, number: true, of: (call) => compact(call.tokens_reasoning) },
  { name: 'TTFT', title: 'Time to first token', need: 2, number: true, of: (call) => duration(call.ttft_ms) },
  { name: 'Duration', need: 4, number: true, of: (call) => duration(call.duration_ms) },
  { name: 'Tok/s', title: 'Completion tokens per second', need: 1, number: true, of: (call) => perSecond(call.tps) },
  { name: 'Cost', title: 'US dollars', need: 3, number: true, of: (call) => dollars(call.cost) },
];

function estimated(call: Summary, tokens: number | null) {
  return `${call.estimated && tokens != null ? '~' : ''}${compact(tokens)}`;
}

const ENDS: Record<string, string> = {
  client_gone: 'client gone',
  upstream_error: 'upstream error',
  timeout: 'timeout',
  rejected: 'rejected',
};

/** The status, and what went wrong apart from it: never by colour alone. */
export function Status({ call }: { call: Pick<Summary, 'status' | 'end' | 'is_error' | 'has_error'> }) {
  const why = ENDS[call.end] ?? (call.has_error && (call.status ?? 0) < 400 ? 'error' : '');
  return (
    <span class={`status ${call.is_error ? 'bad' : 'good'}`}>
      {call.status ?? (why ? '' : UNKNOWN)}
      {why && <em> {why}</em>}
    </span>
  );
}

/** Which columns fit. */
function columnsFor(width: number): Column[] {
  const need = width > 1180 ? 1 : width > 760 ? 2 : width > 500 ? 3 : 4;
  return COLUMNS.filter((column) => column.need >= need);
}

/** A cell; text that may not fit says all of it under the pointer. */
function Cell({ column, call }: { column: Column; call: Summary }) {
  const value = column.of(call);
  return <div role="gridcell" class={column.number ? 'number' : ''} title={typeof value === 'string' && !column.number ? value : undefined}><bdi>{value}</bdi></div>;
}

interface Props {
  list: Calls;
  selected: string | null;
  onOpen: (call: Summary) => void;
  scroller: RefObject<HTMLDivElement | null>;
  empty: preact.ComponentChildren;
}

/** A list of any length: only the rows that are seen exist. */
export function CallsTable({ list, selected, onOpen, scroller, empty }: Props) {
  const { calls, fresh } = list;
  const [view, setView] = useState({ top: 0, height: 800, width: 1200 });
  const measure = () => {
    const box = scroller.current;
    if (box) setView({ top: box.scrollTop, height: box.clientHeight, width: box.clientWidth });
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    if (scroller.current) observer.observe(scroller.current);
    return () => observer.disconnect();
  }, []);

  // Whoever reads further down, or points at a call, keeps seeing the same calls when others come on top.
  const pointed = useRef(false);
  /** Pixels that the list was moved by under the pointer. */
  const held = useRef(0);
  /** Calls that have come above what is seen. */
  const [above, setAbove] = useState(0);
  const first = useRef<{ id: string | undefined; length: number }>({ id: undefined, length: 0 });
  useLayoutEffect(() => {
    const box = scroller.current;
    const added = first.current.id ? calls.findIndex((call) => call.id === first.current.id) : -1;
    if (box && added > 0 && (box.scrollTop > ROW || pointed.current)) {
      if (pointed.current) held.current += added * ROW;
      box.scrollTop += added * ROW;
      setAbove((above) => above + added);
    }
    first.current = { id: calls[0]?.id, length: calls.length };
  }, [calls]);

  useEffect(() => {
    if (view.top < ROW / 2) setAbove(0);
  }, [view.top]);
  const point = (isPointed: boolean) => (event: PointerEvent) => {
    pointed.current = isPointed && event.pointerType === 'mouse';
    const box = scroller.current;
    // Nobody has scrolled meanwhile: it goes on at the top.
    if (!isPointed && box && held.current && box.scrollTop <= held.current) box.scrollTop = 0;
    held.current = 0;
  };

  // The selected call is brought into sight when it changes, not when others come.
  useEffect(() => {
    const index = calls.findIndex((call) => call.id === selected);
    const box = scroller.current;
    if (index < 0 || !box) return;
    const head = 32;
    const top = index * ROW;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW > box.scrollTop + box.clientHeight - head) box.scrollTop = top + ROW - box.clientHeight + head;
  }, [selected]);

  const from = Math.max(0, Math.floor(view.top / ROW) - SPARE);
  const to = Math.min(calls.length, Math.ceil((view.top + view.height) / ROW) + SPARE);
  useEffect(() => {
    if (list.more && !list.loading && !list.error && to >= calls.length - 20) list.loadMore();
  });
  const columns = columnsFor(view.width);
  return (
    <div class="table" ref={scroller} onScroll={measure}>
      {above > 0 && view.top >= ROW / 2 && (
        <div class="above"><button type="button" onClick={() => { held.current = 0; scroller.current?.scrollTo(0, 0); }}>↑ {count(above)} new</button></div>
      )}
      <div
        role="grid"
        aria-label="Calls"
        aria-rowcount={list.more ? -1 : calls.length + 1}
        aria-colcount={columns.length}
        aria-activedescendant={selected && calls.slice(from, to).some((call) => call.id === selected) ? `row-${selected}` : undefined}
        tabIndex={0}
      >
      <div role="rowgroup" class="head">
        <div role="row" aria-rowindex={1} class={`row cols-${columns.length}`}>
          {columns.map((column) => (
            <div role="columnheader" key={column.name} title={column.title} class={column.number ? 'number' : ''}>{column.name}</div>
          ))}
        </div>
      </div>
      <div role="rowgroup" class="body" onPointerEnter={point(true)} onPointerLeave={point(false)} style={{ height: `${calls.length * ROW}px` }}>
        {calls.slice(from, to).map((call, index) => (
          <div
            role="row"
            id={`row-${call.id}`}
            key={call.id}
            aria-rowindex={from + index + 2}
            aria-selected={call.id === selected}
            aria-label={`${clock(call.started_at)} ${call.model ?? call.provider} ${call.status ?? call.end}`}
            class={`row cols-${columns.length} ${call.is_error ? 'failed' : ''} ${fresh.has(call.id) ? 'fresh' : ''}`}
            style={{ transform: `translateY(${(from + index) * ROW}px)` }}
            onClick={() => onOpen(call)}
          >
            {columns.map((column) => (
              <Cell key={column.name} column={column} call={call} />
            ))}
          </div>
        ))}
      </div>
      </div>
      <div class="foot">
        {list.error ? <p class="error">{list.error}</p>
          : list.loading || list.more ? <p class="quiet">{list.lookedBackTo ? `Looking further back than ${when(list.lookedBackTo)} …` : 'Loading …'}</p>
          : calls.length === 0 ? empty
          : null}
      </div>
    </div>
  );
}
