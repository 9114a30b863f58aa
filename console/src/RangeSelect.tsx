import { RANGES } from './calls/filters';
import { change, usePlace } from './lib/url';

/** The time that a page looks at; `usual` is what stands for none. */
export function RangeSelect({ usual = '' }: { usual?: string }) {
  const { params } = usePlace();
  return (
    <select aria-label="Time range" value={params.get('since') ?? usual} onChange={(event) => change({ since: event.currentTarget.value })}>
      {RANGES.filter(([value]) => value || !usual).map(([value, label]) => <option key={value} value={value}>{label}</option>)}
    </select>
  );
}
