import { useRef } from 'preact/hooks';
import { RANGES } from './calls/filters';
import { clock, when } from './lib/format';
import { change, usePlace } from './lib/url';
import { RangeDialog } from './RangeDialog';

/** The time that a page looks at: one of a list, or from one moment to another; `usual` is what stands for none. */
export function RangeSelect({ usual = '' }: { usual?: string }) {
  const { params } = usePlace();
  const dialog = useRef<HTMLDialogElement>(null);
  const since = params.get('since') ?? usual;
  const until = params.get('until') ?? '';
  const isListed = !until && RANGES.some(([value]) => value === since);
  const shown = isListed ? since : 'other';
  return (
    <>
      <select
        aria-label="Time range"
        value={shown}
        onChange={(event) => {
          const { value } = event.currentTarget;
          if (value !== 'pick') return change({ since: value, until: null });
          event.currentTarget.value = shown;
          dialog.current?.showModal();
        }}
      >
        {RANGES.filter(([value]) => value || !usual).map(([value, label]) => <option key={value} value={value}>{label}</option>)}
        {!isListed && <option value="other" disabled>{boundary(since)} – {until ? (isSameDay(since, until) ? clock(until) : boundary(until)) : 'now'}</option>}
        <option value="pick">From … to …</option>
      </select>
      <RangeDialog dialog={dialog} since={since} until={until} onPick={(since, until) => change({ since, until })} />
    </>
  );
}

function isSameDay(one: string, other: string): boolean {
  return new Date(one).toDateString() === new Date(other).toDateString();
}

function boundary(text: string): string {
  if (!text) return '…';
  return Number.isNaN(Date.parse(text)) ? `${text} ago` : when(text);
}
