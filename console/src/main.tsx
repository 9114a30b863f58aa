import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import 'uplot/dist/uPlot.min.css';
import { CallsPage } from './calls/CallsPage';
import { Help } from './Help';
import { Login } from './Login';
import { type Info, post, whenSignedOut } from './lib/api';
import { useKeys } from './lib/keys';
import { useLoad } from './lib/load';
import { go, usePlace } from './lib/url';
import { OverviewPage } from './overview/OverviewPage';
import { SessionPage } from './SessionPage';
import { SessionsPage } from './SessionsPage';
import { SettingsPage } from './SettingsPage';
import { UsersPage } from './UsersPage';
import { nextTheme, themeName } from './theme';
import './style.css';

const PAGES: [string, string][] = [['/', 'Calls'], ['/overview', 'Overview'], ['/sessions', 'Sessions'], ['/users', 'Users'], ['/settings', 'Settings']];

function App() {
  const { path } = usePlace();
  const [signedOut, setSignedOut] = useState(false);
  const [theme, setTheme] = useState(themeName());
  const help = useRef<HTMLDialogElement>(null);
  whenSignedOut(() => setSignedOut(true));
  const { data: info } = useLoad<Info>('info', signedOut ? 'limit=1' : '');
  useEffect(() => {
    const name = PAGES.find(([at]) => at === path)?.[1] ?? (path.startsWith('/sessions/') ? 'Session' : '');
    document.title = name ? `${name} · AI Tracing` : 'AI Tracing';
  }, [path]);
  useKeys({
    '?': () => help.current?.showModal(),
    o: () => go('/overview'),
    c: () => go('/'),
    s: () => go('/sessions'),
    u: () => go('/users'),
  });
  if (signedOut) return <Login onDone={() => setSignedOut(false)} />;
  const session = /^\/sessions\/(.+)$/.exec(path)?.[1];
  return (
    <>
      <header class="top">
        <a class="brand" href="/"><img src="/icon.svg" alt="" width="20" height="20" /> AI Tracing</a>
        <nav aria-label="Pages">
          {PAGES.map(([at, name]) => (
            <a key={at} href={at} aria-current={(at === '/sessions' ? path.startsWith(at) : path === at) ? 'page' : undefined}>{name}</a>
          ))}
        </nav>
        <span class="spacer" />
        <button type="button" class="link" onClick={() => setTheme(nextTheme())} title="Light, dark, or as the system has it"><span aria-hidden="true">◐ </span>{theme}</button>
        <button type="button" class="link" onClick={() => help.current?.showModal()} title="Keyboard (?)">Keys</button>
        {info?.login && <button type="button" class="link" onClick={() => post('logout', {}).then(() => setSignedOut(true))}>Sign out</button>}
      </header>
      <main>
        {session ? <SessionPage key={session} id={decode(session)} />
          : path === '/overview' ? <OverviewPage />
          : path === '/sessions' ? <SessionsPage />
          : path === '/users' ? <UsersPage />
          : path === '/settings' ? <SettingsPage />
          : <CallsPage />}
      </main>
      <Help dialog={help} />
    </>
  );
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

render(<App />, document.getElementById('app')!);
