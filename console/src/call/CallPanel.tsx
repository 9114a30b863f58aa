import { useEffect, useRef, useState } from 'preact/hooks';
import { Status } from '../calls/CallsTable';
import { ApiError, type CallDetail, type CallRecord, get } from '../lib/api';
import { compact, dollars, duration, exactly, perSecond } from '../lib/format';
import { useKeys } from '../lib/keys';
import { useLoad } from '../lib/load';
import { change, href, usePlace } from '../lib/url';
import { Conversation } from './Conversation';
import { Copy } from './Copy';
import { Details } from './Details';
import { RecordJson } from './RecordJson';
import { Spans } from './Spans';
import { Waterfall } from './Waterfall';
import { curl } from './curl';
import { HttpView } from './http/HttpView';
import type { Http } from './http/types';

const VIEWS = [['conversation', 'Conversation'], ['details', 'Details'], ['json', 'Record'], ['http', 'HTTP'], ['spans', 'Spans']] as const;
type View = (typeof VIEWS)[number][0];

interface Props {
  id: string;
  onClose: () => void;
  onPrevious: () => void;
  onNext: () => void;
  onOther: (id: string) => void;
}

/** One call, beside the list that it was picked from. */
export function CallPanel({ id, onClose, onPrevious, onNext, onOther }: Props) {
  const { params } = usePlace();
  const { data, error } = useLoad<CallDetail>(`calls/${encodeURIComponent(id)}`);
  const [last, setLast] = useState<CallDetail | null>(null);
  const body = useRef<HTMLDivElement>(null);
  // The call before stays until the next one is there: walking through a list does not flicker.
  useEffect(() => { if (data) setLast(data); }, [data]);
  useEffect(() => { body.current?.scrollTo(0, 0); }, [last?.call.id]);
  const named = params.get('view');
  const view: View = VIEWS.some(([name]) => name === named) ? (named as View) : 'conversation';
  const show = (name: View) => change({ view: name === 'conversation' ? null : name }, true);
  useKeys(Object.fromEntries(VIEWS.map(([name], index) => [`${index + 1}`, () => show(name)])));

  const shown = last;
  return (
    <section class="panel" aria-label="Call">
      <header>
        <div class="title">
          {shown ? (
            <h2>
              <bdi>{shown.call.model ?? shown.call.operation}</bdi> <Status call={shown.call} />
            </h2>
          ) : <h2>Call</h2>}
          <div class="actions">
            <button type="button" aria-label="Previous call (k)" title="Previous (k)" onClick={onPrevious}>↑</button>
            <button type="button" aria-label="Next call (j)" title="Next (j)" onClick={onNext}>↓</button>
            <button type="button" aria-label="Close (Escape)" title="Close (Esc)" onClick={onClose}>×</button>
          </div>
        </div>
        {shown && (
          <>
            <p class="sub">
              <time dateTime={shown.call.started_at}>{exactly(shown.call.started_at)}</time>
              <span><bdi>{shown.record.method} {shown.call.name}</bdi></span>
              <span><bdi>{shown.call.provider}</bdi></span>
              {shown.call.user_id && <span>user <a href={href('/', { user: shown.call.user_id })}><bdi>{shown.call.user_id}</bdi></a></span>}
              {shown.call.session_id && <span>session <a href={`/sessions/${encodeURIComponent(shown.call.session_id)}`}><bdi>{shown.call.session_id}</bdi></a></span>}
            </p>
            <div class="facts">
              <Fact name="Duration" value={duration(shown.call.duration_ms)} />
              <Fact name="First token" value={duration(shown.call.ttft_ms)} />
              <Fact name="Tokens in" value={`${shown.call.estimated ? '~' : ''}${compact(shown.call.tokens_in)}`} />
              <Fact name="Tokens out" value={`${shown.call.estimated ? '~' : ''}${compact(shown.call.tokens_out)}`} />
              <Fact name="Speed" value={perSecond(shown.call.tps)} />
              <Fact name="Cost" value={dollars(shown.call.cost)} />
            </div>
            <Waterfall record={shown.record} />
            <div class="tabs">
              <div role="tablist" aria-label="Views of the call">
              {VIEWS.map(([name, label], index) => (
                <button type="button" role="tab" key={name} id={`tab-${name}`} aria-selected={view === name} aria-controls="call-view" title={`${label} (${index + 1})`} onClick={() => show(name)}>{label}</button>
              ))}
              </div>
              <span class="spacer" />
              <span class="copies">
              <Copy label="Copy link" text={() => `${location.origin}/?call=${shown.call.id}`} />
              <Copy label="Copy as curl" text={() => asCurl(shown.record)} />
              {shown.langfuse && <a class="away" href={`${shown.langfuse}/trace/${shown.call.trace_id}`} target="_blank" rel="noopener noreferrer" title="The same trace in Langfuse, in a new tab">Langfuse ↗</a>}
              </span>
            </div>
          </>
        )}
      </header>
      {/* Scrolled by keyboard too, so it takes the focus. */}
      <div class="content" id="call-view" role="tabpanel" aria-labelledby={shown ? `tab-${view}` : undefined} tabIndex={0} ref={body}>
        {error && <p class="error" role="alert">{error}</p>}
        {!error && !shown && <p class="quiet">Loading …</p>}
        {!error && shown && view === 'conversation' && <Conversation key={shown.call.id} record={shown.record} />}
        {!error && shown && view === 'details' && <Details detail={shown} onOther={onOther} />}
        {!error && shown && view === 'json' && <RecordJson key={shown.call.id} record={shown.record} />}
        {!error && shown && view === 'http' && <HttpView key={shown.call.id} record={shown.record} />}
        {!error && shown && view === 'spans' && <Spans key={shown.call.id} id={shown.call.id} />}
      </div>
    </section>
  );
}

/** The call as a command; asks for its HTTP exchange only now, because few calls are copied. */
async function asCurl(record: CallRecord): Promise<string> {
  const none = (error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  };
  const command = curl(record, await get<Http>(`calls/${encodeURIComponent(record.id)}/http`).catch(none));
  if (!command) throw new Error('Not kept whole: see HTTP');
  return command;
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <span class="name">{name}</span>
      <span class="value">{value}</span>
    </div>
  );
}
