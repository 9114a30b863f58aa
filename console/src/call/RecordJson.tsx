import { useMemo } from 'preact/hooks';
import type { CallRecord } from '../lib/api';
import { Copy } from './Copy';
import { Text } from './Text';

/** The record as it is stored. */
export function RecordJson({ record }: { record: CallRecord }) {
  const text = useMemo(() => JSON.stringify(record, null, 2), [record]);
  return (
    <div>
      <div class="controls"><span class="quiet">As <code>ai-tracing traces show --format json</code> prints it</span><span class="spacer" /><Copy label="Copy" text={() => text} /></div>
      <Text text={text} plain />
    </div>
  );
}
