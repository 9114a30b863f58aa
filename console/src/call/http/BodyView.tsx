import { useMemo, useState } from 'preact/hooks';
import { bytes, count } from '../../lib/format';
import { Copy } from '../Copy';
import { Text } from '../Text';
import { type Body, type Content, type Http, bytesOf } from './types';

interface Props {
  title: string;
  body: Body | null;
  /** Its length in bytes, as it was sent. */
  length: number;
  bodies: Http['bodies'];
  /** Its media type. */
  type: string;
}

/** Why a body is not kept. */
const WHY: Record<Http['bodies'], preact.ComponentChildren> = {
  kept: 'not kept',
  not_asked: <>not kept: <code>capture_http</code> is <code>headers</code>. <code>full</code> keeps the bodies of calls to come.</>,
  metadata_only: <>not kept: <code>capture_content</code> is <code>metadata_only</code>.</>,
  redacted: <>not kept: something is redacted, and a name that comes in two pieces cannot be found in raw bytes.</>,
};

/** A body as it was sent, or laid out where it is JSON. */
export function BodyView({ title, body, length, bodies, type }: Props) {
  const [raw, setRaw] = useState(false);
  const text = useMemo(() => body && shownText(body.start, type), [body, type]);
  const laidOut = useMemo(() => (body && !body.missing && text?.text ? layOut(text.text) : null), [body, text]);
  const end = useMemo(() => body?.end && shownText(body.end, type), [body, type]);
  if (length === 0) return <p class="quiet">{title}: none.</p>;
  if (!body) return <p class="quiet">{title}, {bytes(length)}: {WHY[bodies]}</p>;
  const size = body.encoding ? `${bytes(length)} as ${body.encoding}` : bytes(length);
  return (
    <div class="raw" role="group" aria-label={title}>
      <div class="controls">
        <h4>{title}</h4>
        <span class="quiet"><bdi>{size}</bdi>{type && <> · <bdi>{type}</bdi></>}</span>
        <span class="spacer" />
        {laidOut !== null && <button type="button" class="link" aria-pressed={raw} onClick={() => setRaw(!raw)}>{raw ? 'Show laid out' : 'Show as sent'}</button>}
        {text && <Copy label="Copy" text={() => text.text} />}
      </div>
      {text?.isPatched && <p class="quiet">Bytes that are no UTF-8 are shown as �.</p>}
      {text === null ? <p class="quiet">Binary: {bytes(length)}{type && <> of <bdi>{type}</bdi></>}.</p> : text && <Text key={String(raw)} text={laidOut !== null && !raw ? laidOut : text.text} plain />}
      {body.missing && <p class="quiet">… {body.missing.bytes === null ? 'The rest is' : `${count(body.missing.bytes)} bytes are`} missing here: <bdi>{body.missing.why}</bdi>.</p>}
      {end && <Text text={end.text} plain />}
    </div>
  );
}

/** The text of a part of a body; null where it is none. */
function shownText(content: Content, type: string): { text: string; isPatched: boolean } | null {
  if ('text' in content) return { text: content.text, isPatched: false };
  if (!/^text\/|json|xml|urlencoded/i.test(type)) return null;
  return { text: new TextDecoder().decode(bytesOf(content)), isPatched: true };
}

/** JSON with a member a line; null for everything else, and where it would say the same. */
function layOut(text: string): string | null {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    const laidOut = JSON.stringify(JSON.parse(text), null, 2);
    return laidOut === text.trim() ? null : laidOut;
  } catch {
    return null;
  }
}
