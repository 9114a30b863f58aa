import { useState } from 'preact/hooks';

/** Copies a text, and says so. */
export function Copy({ label, text, hidden }: { label: string; text: () => string; hidden?: boolean }) {
  const [done, setDone] = useState('');
  if (hidden) return null;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      setDone('Copied');
    } catch {
      // Only a page of a secure origin may: https, or this machine.
      setDone('Not allowed here');
    }
    setTimeout(() => setDone(''), 1500);
  };
  return <button type="button" class="link" onClick={copy} aria-live="polite">{done || label}</button>;
}
