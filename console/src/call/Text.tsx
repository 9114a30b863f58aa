import { useState } from 'preact/hooks';
import { count } from '../lib/format';
import { Markdown } from './Markdown';

/** Characters that are shown at first, and what each click multiplies them with. */
const FIRST = 6_000;
const TIMES = 16;
/** Above it text is shown as it is: laying markdown out would take seconds. */
const MARKDOWN = 100_000;

/** A text of any length: its beginning first, more when asked for. */
export function Text({ text, plain }: { text: string; plain: boolean }) {
  const [shown, setShown] = useState(FIRST);
  const isCut = text.length > shown;
  let part = isCut ? text.slice(0, shown) : text;
  // Not through the middle of a character of two units.
  if (isCut && /[\uD800-\uDBFF]$/.test(part)) part = part.slice(0, -1);
  return (
    <div class="text">
      {plain || part.length > MARKDOWN ? <pre class="plain" dir="auto" tabIndex={0}>{part}</pre> : <Markdown text={part} />}
      {isCut && (
        <button type="button" class="more" onClick={() => setShown(shown * TIMES)}>
          Show more ({count(text.length - shown)} of {count(text.length)} characters are not shown)
        </button>
      )}
    </div>
  );
}
