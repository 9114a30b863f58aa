// The URL is the page's state: what is shown can be bookmarked, shared and gone back to.

import { useEffect, useState } from 'preact/hooks';

export interface Place {
  path: string;
  params: URLSearchParams;
}

const listeners = new Set<() => void>();

function here(): Place {
  return { path: location.pathname, params: new URLSearchParams(location.search) };
}

function tell() {
  for (const listener of [...listeners]) listener();
}

addEventListener('popstate', tell);

export function href(path: string, params?: URLSearchParams | Record<string, string | null | undefined>): string {
  const all =
    params instanceof URLSearchParams
      ? params
      : new URLSearchParams(Object.entries(params ?? {}).filter((pair): pair is [string, string] => !!pair[1]));
  const query = all.toString();
  return query ? `${path}?${query}` : path;
}

export function go(to: string, replace = false) {
  if (to === location.pathname + location.search) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', to);
  tell();
}

/** Changes parameters of the current place; an empty value takes one away. */
export function change(params: Record<string, string | null>, replace = false) {
  const place = here();
  for (const [name, value] of Object.entries(params)) {
    if (value) place.params.set(name, value);
    else place.params.delete(name);
  }
  go(href(place.path, place.params), replace);
}

export function usePlace(): Place {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const listener = () => setPlace(here());
    listeners.add(listener);
    listener();
    return () => void listeners.delete(listener);
  }, []);
  return place;
}

/** Follows links inside the page without loading it again. */
addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.('a[href]');
  if (!(link instanceof HTMLAnchorElement) || link.target || link.origin !== location.origin) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
