import type { AnyValue, Attribute, Exported, Span } from '../lib/api';
import { count, duration } from '../lib/format';
import { useLoad } from '../lib/load';
import { Copy } from './Copy';
import { Text } from './Text';

/** What each destination gets of a call: the spans, as the configuration of now makes them of the record. */
export function Spans({ id }: { id: string }) {
  const { data, error } = useLoad<{ spans: Exported[]; plugin: string | null }>(`calls/${encodeURIComponent(id)}/spans`);
  if (error) return <p class="error" role="alert">{error}</p>;
  if (!data) return <p class="quiet">Loading …</p>;
  if (data.spans.length === 0) {
    return (
      <p class="quiet">
        {data.plugin
          ? 'The plugin of this call’s route sends no spans: set langfuse_enabled or otlp_endpoint in its configuration.'
          : 'No ai-tracing plugin is in force on this call’s route any more.'}
      </p>
    );
  }
  return (
    <div class="spans">
      <p class="quiet">As the configuration that is in force now makes them of the record.</p>
      {data.spans.map((exported) => <Destination key={exported.destination} exported={exported} />)}
    </div>
  );
}

function Destination({ exported }: { exported: Exported }) {
  return (
    <section aria-label={exported.destination}>
      <div class="controls">
        <h3><bdi>{exported.destination}</bdi></h3>
        <span class="spacer" />
        <Copy label="Copy as OTLP JSON" text={() => JSON.stringify(exported.request, null, 2)} />
      </div>
      {exported.request.resourceSpans.map((group, index) => (
        <div key={index}>
          {group.scopeSpans.flatMap((scoped) => scoped.spans).map((span) => <One key={span.spanId} span={span} />)}
          <Attributes title="Resource" of={group.resource?.attributes ?? []} />
        </div>
      ))}
    </section>
  );
}

/** OTLP's kinds of spans that are sent. */
const KINDS: Record<number, string> = { 1: 'internal', 3: 'client' };

function One({ span }: { span: Span }) {
  const took = Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6;
  return (
    <details class="folded span" open>
      <summary>
        <bdi class="part">{span.name}</bdi>
        <span class="part">{KINDS[span.kind] ?? span.kind}</span>
        <span class="part">{duration(took)}</span>
        {span.status?.code === 2 && <span class="part bad">error</span>}
      </summary>
      <dl>
        <Row name="span id" value={span.spanId} />
        <Row name="trace id" value={span.traceId} />
        {span.parentSpanId && <Row name="parent span id" value={span.parentSpanId} />}
        {span.traceState && <Row name="trace state" value={span.traceState} />}
        {span.status?.message && <Row name="status message" value={span.status.message} />}
      </dl>
      <Attributes title={`${count(span.attributes.length)} attributes`} of={span.attributes} />
    </details>
  );
}

function Attributes({ title, of }: { title: string; of: Attribute[] }) {
  return (
    <div class="attributes">
      <h4>{title}</h4>
      <dl>{of.map(({ key, value }) => <Row key={key} name={key} value={plain(value)} />)}</dl>
    </div>
  );
}

function Row({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt><bdi>{name}</bdi></dt>
      <dd>{value.length > 200 ? <Text text={value} plain /> : <bdi>{value}</bdi>}</dd>
    </div>
  );
}

function plain(value: AnyValue | null): string {
  if (value?.arrayValue) return value.arrayValue.values.map(plain).join(', ');
  return String(value?.stringValue ?? value?.boolValue ?? value?.intValue ?? value?.doubleValue ?? '');
}
