import type { CallRecord } from '../../lib/api';
import { bytes, count, duration } from '../../lib/format';
import { useLoad } from '../../lib/load';
import { BodyView } from './BodyView';
import { TimelineView } from './TimelineView';
import { type Fields, type Http, header, isHidden, target } from './types';

/** The HTTP exchange of a call, as far as it is kept. */
export function HttpView({ record }: { record: CallRecord }) {
  const { data: http, error, status } = useLoad<Http>(`calls/${encodeURIComponent(record.id)}/http`);
  if (error && status === 404) return <NotKept why={error} />;
  if (error) return <p class="error" role="alert">{error}</p>;
  if (!http) return <p class="quiet">Loading …</p>;
  const { request, response, bodies, timeline } = http;
  return (
    <div class="http">
      <section aria-labelledby="http-request">
        <h3 id="http-request">Request</h3>
        <pre class="plain line" tabIndex={0}><bdi>{request.method} {target(request)}</bdi></pre>
        {request.query.left_out > 0 && <p class="quiet">{count(request.query.left_out)} more parameters are not kept.</p>}
        <Headers of="request" headers={request.headers} />
        <BodyView title="Request body" body={request.body} length={request.body_bytes} bodies={bodies} type={header(request.headers, 'content-type')} />
      </section>
      <section aria-labelledby="http-response">
        <h3 id="http-response">Response</h3>
        {response ? (
          <>
            <pre class="plain line" tabIndex={0}>{response.status} after {duration(response.head_ms)}</pre>
            <Headers of="response" headers={response.headers} />
            <BodyView title="Response body" body={response.body} length={response.body_bytes} bodies={bodies} type={header(response.headers, 'content-type')} />
          </>
        ) : <p class="quiet">There was none.</p>}
      </section>
      {response && response.body_bytes > 0 && (
        <section aria-labelledby="http-timeline">
          <h3 id="http-timeline">When the answer came</h3>
          {timeline
            ? <TimelineView timeline={timeline} record={record} response={response} />
            : <p class="quiet">Nobody knows: the times of its {bytes(response.body_bytes)} were not recorded.</p>}
        </section>
      )}
    </div>
  );
}

function NotKept({ why }: { why: string }) {
  return (
    <div class="empty">
      <h2>Not kept</h2>
      <p><bdi>{why}</bdi>.</p>
      <p>The plugin's <code>capture_http</code> says what is kept of calls to come: <code>headers</code>, or <code>full</code> with the bodies.</p>
    </div>
  );
}

function Headers({ of, headers }: { of: string; headers: Fields }) {
  return (
    <div class="wide">
      <table class="headers">
        <caption class="unseen">Headers of the {of}</caption>
        <thead><tr><th scope="col">Header</th><th scope="col">Value</th></tr></thead>
        <tbody>
          {headers.fields.map(([name, value], index) => (
            <tr key={index}>
              <th scope="row"><bdi>{name}</bdi></th>
              <td class={isHidden(value) ? 'quiet' : undefined}><bdi>{value}</bdi></td>
            </tr>
          ))}
        </tbody>
      </table>
      {headers.left_out > 0 && <p class="quiet">{count(headers.left_out)} more headers are not kept: too many, too long, or no names.</p>}
    </div>
  );
}
