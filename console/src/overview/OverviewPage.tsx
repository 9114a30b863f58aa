import type { Line, Overview } from '../lib/api';
import { UNKNOWN, compact, count, dollars, duration, percent, when } from '../lib/format';
import { useLoad } from '../lib/load';
import { change, go, href, usePlace } from '../lib/url';
import { RangeSelect } from '../RangeSelect';
import { Chart, type ChartLine } from './Chart';
import { DeliveryHealth } from './DeliveryHealth';

const BY: [string, string][] = [['model', 'Model'], ['provider', 'Provider'], ['project', 'Project'], ['environment', 'Environment']];

/** The numbers that matter over a span of time; each leads to its calls. */
export function OverviewPage() {
  const { params } = usePlace();
  const since = params.get('since') ?? '1h';
  const until = params.get('until');
  const by = params.get('by') ?? 'model';
  const { data, error } = useLoad<Overview>('overview', new URLSearchParams({ since, ...(until ? { until } : {}), by, parts: '60' }).toString(), 10_000);
  return (
    <div class="page">
      <div class="bar">
        <h1>Overview</h1>
        <span class="spacer" />
        <label class="field">by <select value={by} onChange={(event) => change({ by: event.currentTarget.value })}>{BY.map(([value, label]) => <option key={value} value={value}>{label}</option>)}</select></label>
        <RangeSelect usual="1h" />
      </div>
      {error && <p class="error" role="alert">{error}</p>}
      {!data && !error && <p class="quiet">Loading …</p>}
      {data && <Shown data={data} range={{ since, until }} by={by} />}
      <DeliveryHealth />
    </div>
  );
}

function Shown({ data, range, by }: { data: Overview; range: { since: string; until: string | null }; by: string }) {
  const begins = Date.parse(data.since);
  const times = data.parts.map((_, index) => (begins + index * data.part_ms) / 1000);
  const pick = (more: Record<string, string>) => (index: number) => {
    const from = begins + index * data.part_ms;
    go(href('/', { since: new Date(from).toISOString(), until: new Date(from + data.part_ms).toISOString(), ...more }));
  };
  const name = (line: Line) => (line.others ? 'others' : (line.name ?? 'none'));
  const lines = (of: 'calls' | 'tokens' | 'cost'): ChartLine[] => data.lines.map((line, index) => ({ name: name(line), values: line[of], color: line.others ? 'c9' : `c${index + 1}` }));
  const percentiles = (of: 'duration' | 'ttft'): ChartLine[] =>
    (['p50', 'p95', 'p99'] as const).map((p, index) => ({ name: p, values: data.parts.map((part) => part[of][p]), color: ['c1', 'c2', 'c4'][index]! }));
  const rates: ChartLine[] = [{ name: 'error rate', values: data.parts.map((part) => (part.calls ? (part.errors / part.calls) * 100 : null)), color: 'bad' }];
  // Nothing filters for what the others are, nor for what is not there.
  const of = (line: Line, more = {}) => (line.others || line.name == null ? null : href('/', { ...range, [by]: line.name, ...more }));
  const byName = BY.find(([value]) => value === by)?.[1] ?? by;
  const tokens = data.tokens_in + data.tokens_out;
  return (
    <>
      {data.summed_since && <p class="error">There are too many calls to sum: those before {when(data.summed_since)} are left out.</p>}
      <div class="tiles">
        <Tile name="Calls" value={compact(data.calls)} to={href('/', range)} />
        <Tile name="Error rate" value={percent(data.errors, data.calls)} note={`${count(data.errors)} failed`} to={href('/', { ...range, errors: 'true' })} bad={data.errors > 0} />
        <Tile name="Duration p95" value={duration(data.duration.p95)} note={`p50 ${duration(data.duration.p50)} · p99 ${duration(data.duration.p99)}`} to={href('/', { ...range, slower_than: slower(data.duration.p95) })} />
        <Tile name="First token p95" value={duration(data.ttft.p95)} note={`p50 ${duration(data.ttft.p50)} · p99 ${duration(data.ttft.p99)}`} to={href('/', { ...range, first_token_slower_than: slower(data.ttft.p95) })} />
        <Tile name="Tokens" value={compact(tokens)} note={`${compact(data.tokens_in)} in · ${compact(data.tokens_out)} out`} to={href('/', range)} />
        <Tile name="Cost" value={dollars(data.cost)} note={data.without_cost ? `${count(data.without_cost)} calls without a price` : ''} to={href('/', range)} />
        <Tile name="Users" value={count(data.users)} to={href('/users', range)} />
        <Tile name="Sessions" value={count(data.sessions)} to={href('/sessions', range)} />
      </div>
      {data.calls === 0 ? <div class="empty"><h2>No calls in this time</h2></div> : (
        <>
          <div class="charts">
            <Chart title={`Calls by ${by}`} summary={`${count(data.calls)} calls`} times={times} until={Date.parse(data.until) / 1000} lines={lines('calls')} kind="stacked" format={compact} onPick={pick({})} />
            <Chart title="Error rate" summary={percent(data.errors, data.calls)} times={times} until={Date.parse(data.until) / 1000} lines={rates} kind="lines" format={(value) => (value == null ? UNKNOWN : `${+value.toFixed(1)} %`)} onPick={pick({ errors: 'true' })} />
            <Chart title="Duration" summary={`95 % within ${duration(data.duration.p95)}`} times={times} until={Date.parse(data.until) / 1000} lines={percentiles('duration')} kind="lines" format={duration} onPick={pick({})} />
            <Chart title="Time to first token" summary={`95 % within ${duration(data.ttft.p95)}`} times={times} until={Date.parse(data.until) / 1000} lines={percentiles('ttft')} kind="lines" format={duration} onPick={pick({})} />
            <Chart title={`Tokens by ${by}`} summary={`${count(tokens)} tokens`} times={times} until={Date.parse(data.until) / 1000} lines={lines('tokens')} kind="stacked" format={compact} onPick={pick({})} />
            <Chart title={`Cost by ${by}`} summary={dollars(data.cost)} times={times} until={Date.parse(data.until) / 1000} lines={lines('cost')} kind="stacked" format={dollars} onPick={pick({})} />
          </div>
          <div class="wide" tabIndex={0} role="region" aria-label={`By ${by}`}>
            <table>
              <thead><tr><th>{byName}</th><th class="number">Calls</th><th class="number">Errors</th><th class="number">Error rate</th><th class="number">Tokens in</th><th class="number">Cached</th><th class="number">Tokens out</th><th class="number">Cost</th></tr></thead>
              <tbody>
                {data.lines.map((line) => (
                  <tr key={name(line)}>
                    <td class="id">{of(line) ? <a href={of(line)!}><bdi>{name(line)}</bdi></a> : name(line)}</td>
                    <td class="number"><ToCalls to={of(line)} number={line.totals.calls} /></td>
                    <td class={`number ${line.totals.errors ? 'bad' : ''}`}><ToCalls to={of(line, { errors: 'true' })} number={line.totals.errors} /></td>
                    <td class="number">{percent(line.totals.errors, line.totals.calls)}</td>
                    <td class="number">{compact(line.totals.tokens_in)}</td>
                    <td class="number">{compact(line.totals.tokens_cached)}</td>
                    <td class="number">{compact(line.totals.tokens_out)}</td>
                    <td class="number">{dollars(line.totals.cost)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </>
  );
}

/** A number that leads to its calls, where there are any. */
function ToCalls({ to, number }: { to: string | null; number: number }) {
  return to && number ? <a href={to}>{count(number)}</a> : <>{count(number)}</>;
}

/** A duration as the filter takes it. */
function slower(ms: number | null): string | null {
  return ms == null ? null : `${Math.floor(ms)}ms`;
}

function Tile({ name, value, note, to, bad }: { name: string; value: string; note?: string; to: string; bad?: boolean }) {
  return (
    <a class="tile" href={to}>
      <span class="name">{name}</span>
      <span class={`value ${bad ? 'bad' : ''}`}>{value}</span>
      <span class="note">{note}</span>
    </a>
  );
}
