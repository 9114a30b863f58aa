import { useState } from 'preact/hooks';

/** Copies a text, and says so; of `text` that fails, why. */
export function Copy({ label, text }: { label: string; text: () => string | Promise<string> }) {
  const [done, setDone] = useState('');
  const copy = async () => {
    try {
      const copied = await text();
      // Only a page of a secure origin may: https, or this machine.
      setDone(await navigator.clipboard.writeText(copied).then(() => 'Copied', () => 'Not allowed here'));
    } catch (error) {
      setDone((error as Error).message);
    }
    setTimeout(() => setDone(''), 1500);
  };
  return <button type="button" class="link" onClick={copy} aria-live="polite">{done || label}</button>;
}
