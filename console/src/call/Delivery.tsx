import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, type CallRecord, type Deliveries, type DeliveryState, type Delivered, act, get } from '../lib/api';
import { duration, when } from '../lib/format';

/** How often what waits is looked at again, in milliseconds. */
const AGAIN = 1_000;
/** Looks at a call that nothing waits of: one that has just ended may not be told of yet. */
const LOOKS = 5;

const WORDS: Record<DeliveryState, string> = {
  waiting: 'Waiting',
  delivered: 'Sent',
  failed: 'Refused',
  dropped: 'Given up',
  lost: 'Lost',
  unknown: 'Unknown',
};

function ended(record: CallRecord): number {
  return Date.parse(record.timing.started_at) + record.timing.total_duration_ms;
}

/** When, and how long after the call. */
function since(delivery: Delivered, record: CallRecord): string {
  const after = Date.parse(delivery.at) - ended(record);
  const time = when(delivery.at);
  if (delivery.state === 'waiting') return `since ${time}`;
  return after >= 0 ? `${time}, ${duration(after)} after the call` : time;
}

/** What became of a call where it was sent, and sending it again. */
export function Delivery({ record }: { record: CallRecord }) {
  const [shown, setShown] = useState<Delivered[] | null>(null);
  const [error, setError] = useState<string | null>(null);
  /** Numbers of the destinations that are being asked. */
  const [asked, setAsked] = useState<number[]>([]);
  const [said, setSaid] = useState('');
  const [round, setRound] = useState(0);
  const section = useRef<HTMLElement>(null);
  const sentAgain = useRef(new Set<number>());
  const path = `calls/${encodeURIComponent(record.id)}/deliveries`;
  const unsettled = shown?.some((delivery) => delivery.state === 'waiting') || round < LOOKS;

  useEffect(() => {
    const abort = new AbortController();
    get<Deliveries>(path, undefined, abort.signal)
      .then(({ deliveries }) => {
        setShown(deliveries);
        setError(null);
      })
      .catch((error: Error) => abort.signal.aborted || setError(error.message));
    return () => abort.abort();
  }, [path, round]);

  useEffect(() => {
    if (!unsettled) return;
    const timer = setInterval(() => document.hidden || setRound((round) => round + 1), AGAIN);
    return () => clearInterval(timer);
  }, [unsettled]);

  // Said aloud where somebody has asked for it.
  useEffect(() => {
    for (const { destination, state, label, reason } of shown ?? []) {
      if (state === 'waiting' || !sentAgain.current.has(destination)) continue;
      sentAgain.current.delete(destination);
      setSaid(`${label}: ${WORDS[state]}${reason ? `: ${reason}` : ''}`);
    }
  }, [shown]);

  const sendAgain = async ({ destination, label }: Delivered) => {
    setAsked((asked) => [...asked, destination]);
    setSaid(`${label}: sending again`);
    try {
      const { deliveries } = await act<Deliveries>(`${path}/${destination}/retry`);
      sentAgain.current.add(destination);
      setShown(deliveries);
      setError(null);
      // The button goes, and who works with the keyboard stays here.
      section.current?.focus();
    } catch (error) {
      setSaid('');
      setError((error as Error).message);
      // It may be waiting by now, or delivered.
      if (error instanceof ApiError && error.status === 409) setRound((round) => round + 1);
    }
    setAsked((asked) => asked.filter((one) => one !== destination));
  };

  return (
    <section class="facts-table deliveries" aria-label="Delivery" tabIndex={-1} ref={section}>
      <h3>Delivery</h3>
      {error && <p class="error" role="alert">{error}</p>}
      {shown?.length === 0 && <p class="quiet">Nothing is known of other destinations than this store.</p>}
      <dl>
        {shown?.map((delivery) => (
          <div key={delivery.destination}>
            <dt><bdi>{delivery.label}</bdi></dt>
            <dd>
              <span class={delivery.state === 'delivered' ? 'good' : delivery.state === 'waiting' ? '' : 'bad'}>{WORDS[delivery.state]}</span>{' '}
              <time dateTime={delivery.at}>{since(delivery, record)}</time>
              {delivery.retry && (
                <button type="button" aria-label={`Send again to ${delivery.label}`} disabled={asked.includes(delivery.destination)} onClick={() => sendAgain(delivery)}>
                  Send again
                </button>
              )}
              {delivery.reason && <p class="quiet"><bdi>{delivery.reason}</bdi></p>}
            </dd>
          </div>
        ))}
      </dl>
      <p class="aloud" role="status">{said}</p>
    </section>
  );
}
