import type { Delivery } from '../lib/api';
import { bytes, count, duration } from '../lib/format';
import { useLoad } from '../lib/load';
import { href } from '../lib/url';

/** Whether traces arrive where they are sent. */
export function DeliveryHealth() {
  const { data, error } = useLoad<Delivery>('delivery', '', 5_000);
  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, one) => all + one, 0);
  const sink = data?.export?.sink ?? {};
  const lost = (sink.dropped_entries ?? 0) + (sink.dropped_bytes ?? 0) + (sink.dropped_closed ?? 0);
  return (
    <section class="delivery">
      <h2>Delivery</h2>
      {error && <p class="error" role="alert">{error}</p>}
      {data?.export && (
        <div class="wide" tabIndex={0} role="region" aria-label="Destinations">
          <table>
            <thead><tr><th>Destination</th><th>State</th><th class="number">Delivered</th><th class="number">Waiting</th><th class="number">Oldest</th><th class="number">Dropped</th><th class="number">Retries</th></tr></thead>
            <tbody>
              {data.export.destinations.map((destination) => (
                <tr key={destination.name}>
                  <td class="id"><bdi>{destination.name}</bdi></td>
                  <State failing={destination.failing} arrived={destination.delivered} lost={destination.dropped} />
                  <td class="number">{count(destination.delivered)}</td>
                  <td class="number">{count(destination.waiting)}</td>
                  <td class="number">{destination.waiting ? duration(destination.oldest_seconds * 1000) : '–'}</td>
                  <td class={`number ${sum(destination.dropped) ? 'bad' : ''}`}>{sum(destination.dropped) && destination.name !== 'local_store' ? <a href={href('/', { delivery: 'failed' })}>{count(sum(destination.dropped))}</a> : count(sum(destination.dropped))}</td>
                  <td class="number">{count(destination.retries)}</td>
                </tr>
              ))}
              {data.export.metrics.map((receiver) => (
                <tr key={receiver.name}>
                  <td class="id"><bdi>{receiver.name}</bdi></td>
                  <State failing={receiver.failing} arrived={receiver.delivered} lost={{ refused: receiver.rejected }} />
                  <td class="number">{count(receiver.delivered)} points</td>
                  <td class="number">–</td>
                  <td class="number">–</td>
                  <td class={`number ${receiver.rejected ? 'bad' : ''}`}>{count(receiver.rejected)} points</td>
                  <td class="number">{count(receiver.failures)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data?.export && (
        <p class="quiet">
          Since the start: {count(data.export.records)} calls read, {count(sink.waiting)} waiting to be read, {count(lost)} dropped before, {count(data.export.unreadable)} unreadable, {count(data.export.sampled_out)} sampled out, {count(data.capture.without_bodies)} without their bodies for want of memory.
        </p>
      )}
      {data?.store && (
        <p class="quiet">
          Local store: {count(data.store.rows)} calls, {bytes(data.store.file_bytes)}; deleted {count(data.store.aged_out)} for age and {count(data.store.crowded_out)} for size.
          {data.store.replaced > 0 && <span class="bad"> Its file was damaged: it was moved aside, and a new one begun.</span>}
          {data.store.last_error && <span class="bad"> {data.store.last_error}</span>}
        </p>
      )}
    </section>
  );
}

/** How a destination does now; and what was lost there, and why. */
function State({ failing, arrived, lost }: { failing: string | null; arrived: number; lost: Record<string, number> }) {
  const why = Object.entries(lost).filter(([, number]) => number > 0).map(([reason, number]) => `${count(number)} ${reason.replaceAll('_', ' ')}`).join(', ');
  // One that refuses everything answers, and is not in order for that.
  const state = failing ?? (why && arrived === 0 ? 'nothing has arrived' : 'in order');
  return <td class={state === 'in order' ? '' : 'bad'}><bdi>{state}</bdi>{why && <span class="quiet"> · {why}</span>}</td>;
}
