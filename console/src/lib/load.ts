import { useEffect, useState } from 'preact/hooks';
import { get } from './api';

export interface Loaded<T> {
  data: T | null;
  error: string | null;
  /** HTTP status of what went wrong; 0: no answer. */
  status: number | null;
  loading: boolean;
}

/** Asks the API; again when the question changes, and every `again` milliseconds while the page is looked at. */
export function useLoad<T>(path: string | null, query = '', again = 0): Loaded<T> {
  const [state, setState] = useState<Loaded<T> & { of: string }>({ data: null, error: null, status: null, loading: true, of: '' });
  const question = `${path}?${query}`;
  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    const ask = () => {
      if (document.hidden && again) return;
      get<T>(path, new URLSearchParams(query), abort.signal)
        .then((data) => setState({ data, error: null, status: null, loading: false, of: question }))
        .catch((error: Error & { status?: number }) => {
          if (abort.signal.aborted) return;
          // What was there stays, when it answers the same question.
          setState((old) => ({ data: old.of === question ? old.data : null, error: error.message, status: error.status ?? 0, loading: false, of: question }));
        });
    };
    setState((old) => ({ ...old, loading: true }));
    ask();
    const timer = again ? setInterval(ask, again) : 0;
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [question, again]);
  return state;
}
