import { useEffect, useRef, useState } from 'preact/hooks';
import type { Values } from '../lib/api';
import { useKeys } from '../lib/keys';
import { useLoad } from '../lib/load';
import { change, href, usePlace } from '../lib/url';
import { RangeSelect } from '../RangeSelect';
import { KEYS, isFiltered, parse } from './filters';

/** Search, time range and filters; each of them is a parameter of the URL. */
export function FilterBar() {
  const { path, params } = usePlace();
  const [text, setText] = useState(params.get('search') ?? '');
  const input = useRef<HTMLInputElement>(null);
  const { data: values } = useLoad<Values>('values', '', 60_000);
  useEffect(() => setText(params.get('search') ?? ''), [params.get('search')]);
  useKeys({ '/': () => input.current?.focus() });

  const apply = (event?: Event) => {
    event?.preventDefault();
    const { filters, words } = parse(text);
    setText(words);
    change({ ...filters, search: words, call: null });
  };
  const chips = KEYS.filter((key) => params.get(key.name));
  return (
    <div class="filters">
      <form role="search" onSubmit={apply}>
        <input
          ref={input}
          type="search"
          aria-label="Search in content, or type filters such as user:alice"
          placeholder="Search content, or user:alice  model:gpt-4*  status:5xx …   ( / )"
          list="filter-values"
          spellcheck={false}
          autocomplete="off"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Escape') return;
            event.preventDefault();
            input.current?.blur();
          }}
          onSearch={() => text || apply()}
        />
        <datalist id="filter-values">
          {KEYS.map((key) => (key.values ? values?.[key.values] : null)?.map((value) => <option key={key.name + value} value={`${key.name}:${value.includes(' ') ? `"${value}"` : value}`} />) ?? <option key={key.name} value={`${key.name}:`}>{key.example}</option>)}
        </datalist>
      </form>
      <RangeSelect />
      <button type="button" class="toggle" aria-pressed={params.get('errors') === 'true'} onClick={() => change({ errors: params.get('errors') === 'true' ? null : 'true' })}>
        Errors only
      </button>
      <select
        aria-label="Add a filter"
        value=""
        onChange={(event) => {
          const name = event.currentTarget.value;
          event.currentTarget.value = '';
          setText(`${text ? `${text} ` : ''}${name}:`);
          input.current?.focus();
        }}
      >
        <option value="">+ Filter</option>
        {KEYS.map((key) => <option key={key.name} value={key.name}>{key.label}</option>)}
      </select>
      {chips.map((key) => (
        <span class="chip" key={key.name}>
          {key.label}: <bdi>{params.get(key.name)}</bdi>
          <button type="button" aria-label={`Remove filter ${key.label}`} onClick={() => change({ [key.name]: null })}>×</button>
        </span>
      ))}
      {isFiltered(params) && <a class="quiet" href={href(path)}>Clear all</a>}
    </div>
  );
}
