import type { CallDetail } from '../lib/api';
import { UNKNOWN, count, dollars, duration, perSecond, when } from '../lib/format';
import { href } from '../lib/url';
import { Json } from './Conversation';
import { Delivery } from './Delivery';

type Rows = [string, preact.ComponentChildren][];

function Table({ title, rows }: { title: string; rows: Rows }) {
  const known = rows.filter(([, value]) => value != null && value !== '' && value !== UNKNOWN);
  if (known.length === 0) return null;
  return (
    <section class="facts-table">
      <h3>{title}</h3>
      <dl>
        {known.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{typeof value === 'string' ? <bdi>{value}</bdi> : value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** A value that leads to the calls that share it. */
function link(name: string, value: unknown) {
  return typeof value === 'string' && value ? <a href={href('/', { [name]: value })}><bdi>{value}</bdi></a> : null;
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Everything about a call that is not its content. */
export function Details({ detail, onOther }: { detail: CallDetail; onOther: (id: string) => void }) {
  const { record, trace, call } = detail;
  const { usage, timing, context, request, response, cost } = record;
  const share = (part: number | null, whole: number | null) => (part != null && whole ? ` (${Math.round((part / whole) * 100)} %)` : '');
  const session = typeof context.session_id === 'string' ? context.session_id : null;
  return (
    <div class="details">
      <Delivery key={record.id} record={record} />
      <Table
        title="Usage and cost"
        rows={[
          ['Tokens in', count(usage.input)],
          ['· read from cache', usage.cache_read == null ? null : count(usage.cache_read) + share(usage.cache_read, usage.input)],
          ['· written to cache', count(usage.cache_write)],
          ['Tokens out', count(usage.output)],
          ['· reasoning', usage.reasoning == null ? null : count(usage.reasoning) + share(usage.reasoning, usage.output)],
          ['Total', count(usage.total)],
          ['Counted by', record.tokens_estimated ? 'a tokenizer: the provider reported nothing' : usage.total == null ? null : 'the provider'],
          ['Cost of the prompt', dollars(cost?.input, 4)],
          ['Cost of the answer', dollars(cost?.output, 4)],
          ['Cost', cost ? dollars(cost.total, 4) : 'unknown: no price, or no usage'],
        ]}
      />
      <Table
        title="Timing"
        rows={[
          ['Duration', duration(timing.total_duration_ms)],
          ['Time to first token', duration(timing.time_to_first_token_ms)],
          ['Time per token', duration(timing.time_per_token_ms)],
          ['Tokens per second', perSecond(timing.throughput_tokens_per_second)],
          ['Upstream, to its head', duration(timing.upstream_ms)],
          ['Gateway, before upstream', duration(timing.gateway_ms)],
        ]}
      />
      <Table title="Parameters" rows={[['model', request.model], ['stream', String(request.stream)], ...Object.entries(request.params).map(([name, value]): [string, string] => [name, plain(value)])]} />
      <Table
        title="Who"
        rows={[
          ['User', link('user', context.user_id)],
          ['Session', session && <a href={`/sessions/${encodeURIComponent(session)}`}><bdi>{session}</bdi></a>],
          ['Chat', link('chat', context.chat_id)],
          ['Organization', link('organization', context.organization_id)],
          ['Project', link('project', context.project_id)],
          ['Environment', link('environment', context.environment)],
          ['Message', plain(context.message_id ?? '')],
          ['Consumer', record.consumer],
          ...Object.entries(context.metadata ?? {}).map(([name, value]): [string, string] => [`metadata.${name}`, plain(value)]),
        ]}
      />
      <Table
        title="Answer"
        rows={[
          ['Model', response.model],
          ['Finish reasons', response.finish_reasons?.join(', ')],
          ['Response id', response.id],
          ...['request_id', 'system_fingerprint', 'service_tier', 'api_version'].map((name): [string, string] => [name, plain(response[name] ?? '')]),
          ['Prompt', record.prompt_length == null ? null : `${count(record.prompt_length)} characters`],
          ['Text', record.response_length == null ? null : `${count(record.response_length)} characters`],
        ]}
      />
      <Table
        title="Where"
        rows={[
          ['Provider', link('provider', record.provider)],
          ['Wire format', record.dialect],
          ['Operation', record.operation],
          ['Service', link('service', record.service)],
          ['Route', link('route', record.route)],
          ['Upstream', record.server.address && `${record.server.address}:${record.server.port ?? ''}`],
          ['End', record.end.replace('_', ' ')],
          ['Call', record.id],
          ['Trace', record.trace_id],
          ['Span', record.span_id],
          ['Parent span', record.parent_span_id],
        ]}
      />
      {trace.length > 1 && (
        <section class="facts-table">
          <h3>Calls of this trace</h3>
          <ul class="trace">
            {trace.map((other) => (
              <li key={other.id}>
                <button type="button" class="link" aria-current={other.id === call.id} onClick={() => onOther(other.id)}>
                  {when(other.started_at)} · <bdi>{other.model ?? other.provider}</bdi> · {duration(other.duration_ms)}
                </button>
              </li>
            ))}
          </ul>
          {detail.trace_goes_on && <p class="quiet">It has more calls than are listed.</p>}
        </section>
      )}
      {!!request.tools?.length && <Folded title={`Tools offered (${request.tools.length})`} value={request.tools} />}
      {response.extra && Object.keys(response.extra).length > 0 && <Folded title="More that the provider said" value={response.extra} />}
    </div>
  );
}

function Folded({ title, value }: { title: string; value: unknown }) {
  return (
    <details class="folded">
      <summary>{title}</summary>
      <Json value={value} />
    </details>
  );
}
