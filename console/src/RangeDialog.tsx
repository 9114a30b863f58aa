import type { RefObject } from 'preact';
import { useId, useRef } from 'preact/hooks';
import { ago, forField } from './lib/format';

interface Props {
  dialog: RefObject<HTMLDialogElement | null>;
  /** As they stand in the URL: a time, or so long ago; '' for none. */
  since: string;
  until: string;
  onPick: (since: string | null, until: string | null) => void;
}

/** Asks for two moments of the local clock; either may be left open. */
export function RangeDialog({ dialog, since, until, onPick }: Props) {
  const form = useRef<HTMLFormElement>(null);
  const title = useId();
  const value = (name: string) => (form.current!.elements.namedItem(name) as HTMLInputElement).value;
  const moment = (name: string) => (value(name) ? new Date(value(name)) : null);
  const pick = (event: Event) => {
    const [from, to] = [moment('from'), moment('to')];
    const field = form.current!.elements.namedItem('to') as HTMLInputElement;
    field.setCustomValidity(from && to && from >= to ? 'This is not after the beginning.' : '');
    if (!form.current!.reportValidity()) return event.preventDefault();
    onPick(from?.toISOString() ?? null, to?.toISOString() ?? null);
  };
  return (
    <dialog ref={dialog} class="help range" aria-labelledby={title}>
      <h2 id={title}>Time range</h2>
      <form method="dialog" ref={form} onSubmit={pick} noValidate>
        <label>From <input type="datetime-local" name="from" step="1" defaultValue={forField(ago(since))} /></label>
        <label>To <input type="datetime-local" name="to" step="1" defaultValue={forField(ago(until))} onInput={(event) => event.currentTarget.setCustomValidity('')} /></label>
        <p class="quiet">Of this browser’s clock; an empty “To” is now, and new calls keep coming.</p>
        <div class="actions">
          <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
          <button type="submit">Show</button>
        </div>
      </form>
    </dialog>
  );
}
