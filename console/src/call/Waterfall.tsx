import type { CallRecord } from '../lib/api';
import { duration } from '../lib/format';

interface Piece {
  name: string;
  kind: string;
  from: number;
  to: number;
}

/** What the time went into, in order, as far as it is known. */
function pieces(record: CallRecord): Piece[] {
  const { total_duration_ms: total, time_to_first_token_ms: ttft, upstream_ms: upstream, gateway_ms: gateway } = record.timing;
  const found: Piece[] = [];
  let at = 0;
  const until = (name: string, kind: string, to: number | null) => {
    if (to == null || to < at || to > total) return;
    found.push({ name, kind, from: at, to });
    at = to;
  };
  until('Gateway', 'gateway', gateway);
  until('Waiting for upstream', 'wait', upstream == null ? null : (gateway ?? 0) + upstream);
  until('First token', 'first', ttft);
  const last = record.stream ? 'Generation' : 'Answer';
  if (total > at) found.push({ name: last, kind: 'generation', from: at, to: total });
  return found;
}

export function Waterfall({ record }: { record: CallRecord }) {
  const total = record.timing.total_duration_ms;
  const shown = pieces(record);
  if (!(total > 0)) return null;
  return (
    <div class="waterfall">
      <div class="track" aria-hidden="true">
        {shown.map((piece) => (
          <span key={piece.name} class={piece.kind} style={{ left: `${(piece.from / total) * 100}%`, width: `${((piece.to - piece.from) / total) * 100}%` }} />
        ))}
      </div>
      <ul aria-label="Where the time went">
        {shown.map((piece) => (
          <li key={piece.name}><span aria-hidden="true" class={`key ${piece.kind}`} />{piece.name} {duration(piece.to - piece.from)}</li>
        ))}
      </ul>
    </div>
  );
}
