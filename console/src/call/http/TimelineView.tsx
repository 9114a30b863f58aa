import { useMemo, useState } from 'preact/hooks';
import type { CallRecord } from '../../lib/api';
import { UNKNOWN, bytes, count, duration } from '../../lib/format';
import { type HttpResponse, type Timeline, bytesOf } from './types';

/** Rows of the list at first, and what each click multiplies them with. */
const FIRST = 100;
const TIMES = 4;
/** Characters of a piece that its row shows. */
const PREVIEW = 400;

interface Props {
  timeline: Timeline;
  record: CallRecord;
  response: HttpResponse;
}

/** When the pieces of an answer passed: how it grew, and each of them. */
export function TimelineView({ timeline, record, response }: Props) {
  const { chunks, joined } = timeline;
  const [shown, setShown] = useState(FIRST);
  const texts = useMemo(() => pieces(timeline, response), [timeline, response]);
  const { time_to_first_token_ms: token, total_duration_ms: total } = record.timing;
  const last = chunks.findLast(([at]) => at !== null)?.[0] ?? null;
  let before: number | null = response.head_ms;
  const rows = chunks.slice(0, shown).map(([at, size], index) => {
    const since = at !== null && before !== null ? at - before : null;
    before = at;
    return { at, size, since, text: texts?.[index] ?? null };
  });
  return (
    <>
      <Growth timeline={timeline} total={Math.max(total, last ?? 0)} head={response.head_ms} token={token} />
      <p class="quiet">
        {count(chunks.length)} {chunks.length === 1 ? 'piece' : 'pieces'}, {bytes(response.body_bytes)}: head after {duration(response.head_ms)}
        {token !== null && <>, first token after {duration(token)}</>}, last piece after {duration(last)}.
        {joined > 1 && <> Each entry stands for up to {count(joined)} pieces, and has the time of the last.</>}
      </p>
      <div class="wide">
        <table class="pieces">
          <caption class="unseen">Pieces of the answer</caption>
          <thead>
            <tr>
              <th scope="col" class="number">After</th>
              <th scope="col" class="number">Since</th>
              <th scope="col" class="number">Bytes</th>
              {texts && <th scope="col">Text</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, index) => (
              <tr key={index}>
                <td class="number">{row.at === null ? UNKNOWN : milliseconds(row.at)}</td>
                <td class="number quiet">{row.since === null ? UNKNOWN : `+${milliseconds(row.since)}`}</td>
                <td class="number">{count(row.size)}</td>
                {texts && <td class={row.text === null ? 'quiet' : 'piece'}>{row.text === null ? 'not kept' : <code><bdi>{row.text}</bdi></code>}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {chunks.length > shown && (
        <button type="button" class="more" onClick={() => setShown(shown * TIMES)}>Show more ({count(chunks.length - shown)} of {count(chunks.length)} are not shown)</button>
      )}
    </>
  );
}

const milliseconds = (ms: number) => `${ms.toFixed(1)} ms`;

/** The bytes over the time, as a line that rises where a piece came. */
function Growth({ timeline, total, head, token }: { timeline: Timeline; total: number; head: number; token: number | null }) {
  const all = timeline.chunks.reduce((sum, [, size]) => sum + size, 0);
  const x = (at: number) => (total > 0 ? (at / total) * 1000 : 1000);
  let sum = 0;
  const steps = [`M${x(head).toFixed(1)} 100`];
  for (const [at, size] of timeline.chunks) {
    sum += size;
    // What has no time has passed by the time of what comes next.
    if (at !== null) steps.push(`H${x(at).toFixed(1)}V${(100 - (sum / all) * 100).toFixed(2)}`);
  }
  return (
    <figure class="growth">
      <svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label={`${bytes(all)} over ${duration(total)}`}>
        <line class="head" x1={x(head)} x2={x(head)} y1="0" y2="100" />
        {token !== null && <line class="token" x1={x(token)} x2={x(token)} y1="0" y2="100" />}
        <path d={steps.join('')} />
      </svg>
      <figcaption>
        <span>0</span>
        <span class="spacer" />
        <span><span aria-hidden="true" class="key head" />head</span>
        {token !== null && <span><span aria-hidden="true" class="key token" />first token</span>}
        <span><span aria-hidden="true" class="key bytes" />bytes, {bytes(all)} in all</span>
        <span class="spacer" />
        <span>{duration(total)}</span>
      </figcaption>
    </figure>
  );
}

/** What each piece said; null where the body is not here, or was sent compressed. */
function pieces(timeline: Timeline, { body, body_bytes }: HttpResponse): (string | null)[] | null {
  if (!body || body.encoding || !('text' in body.start)) return null;
  const start = bytesOf(body.start);
  const end = body.end ? bytesOf(body.end) : new Uint8Array();
  const endsAt = body_bytes - end.length;
  // A character that two pieces share is shown in neither.
  const decoder = new TextDecoder();
  let at = 0;
  return timeline.chunks.map(([, size]) => {
    const [from, to] = [at, at + size];
    at = to;
    const bytes = to <= start.length ? start.subarray(from, to) : from >= endsAt ? end.subarray(from - endsAt, to - endsAt) : null;
    return bytes && preview(decoder.decode(bytes.subarray(0, PREVIEW * 4)));
  });
}

function preview(text: string): string {
  // Events end with an empty line, which says nothing here.
  text = text.trimEnd();
  // Not through the middle of a character of two units.
  return text.length > PREVIEW ? `${text.slice(0, PREVIEW).replace(/[\uD800-\uDBFF]$/, '')} …` : text;
}
