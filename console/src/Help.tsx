import type { RefObject } from 'preact';

const KEYS: [string, string][] = [
  ['j  k', 'next, previous call'],
  ['Enter', 'open the selected call'],
  ['Esc', 'close it'],
  ['/', 'search'],
  ['e', 'errors only'],
  ['p', 'pause, go on'],
  ['g  G', 'first, last call of the list'],
  ['1  2  3  4  5', 'conversation, details, record, HTTP, spans'],
  ['t', 'a session as a story'],
  ['c o s u', 'calls, overview, sessions, users'],
  ['?', 'this list'],
];

export function Help({ dialog }: { dialog: RefObject<HTMLDialogElement | null> }) {
  return (
    <dialog ref={dialog} class="help" aria-labelledby="help-title">
      <h2 id="help-title">Keyboard</h2>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>{keys.split(/ +/).map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog"><button type="submit">Close</button></form>
    </dialog>
  );
}
