import type { Settings } from './lib/api';
import { useLoad } from './lib/load';

type Entity = Record<string, unknown>;

/** What is set of an entity, in one line each. */
function Entities({ title, entities, columns }: { title: string; entities: Entity[]; columns: [string, (entity: Entity) => string][] }) {
  return (
    <section>
      <h2>{title} ({entities.length})</h2>
      {entities.length === 0 && <p class="quiet">None.</p>}
      {entities.map((entity) => (
        <details class="folded" key={String(entity.id)}>
          <summary>{columns.map(([name, of]) => <span key={name} class="part"><bdi>{of(entity)}</bdi></span>)}{entity.enabled === false && <span class="part">disabled</span>}</summary>
          <pre class="plain" tabIndex={0}>{JSON.stringify(entity, null, 2)}</pre>
        </details>
      ))}
    </section>
  );
}

const text = (value: unknown) => (value == null ? '' : Array.isArray(value) ? value.join(', ') : String(value));

/** The configuration as it is in force, to look at. */
export function SettingsPage() {
  const { data, error } = useLoad<Settings>('settings', '', 15_000);
  if (!data) return <div class="page"><div class="bar"><h1>Settings</h1></div>{error ? <p class="error" role="alert">{error}</p> : <p class="quiet">Loading …</p>}</div>;
  const names = new Map([...data.services, ...data.routes].map((entity) => [entity.id, text(entity.name ?? entity.id)]));
  const named = (reference: unknown) => names.get((reference as Entity | null)?.id) ?? '';
  const scope = (plugin: Entity) => [plugin.service && `service ${named(plugin.service)}`, plugin.route && `route ${named(plugin.route)}`].filter(Boolean).join(', ') || 'everything';
  return (
    <div class="page">
      <div class="bar"><h1>Settings</h1></div>
      {error && <p class="error" role="alert">{error}</p>}
      <p class="quiet">To look at: changes go through {data.declarative ? 'the declarative file' : 'the Admin API'}. Secrets are hidden.</p>
      <Entities title="Services" entities={data.services} columns={[['name', (s) => text(s.name ?? s.id)], ['url', (s) => `${s.protocol}://${s.host}:${s.port}${s.path ?? ''}`]]} />
      <Entities title="Routes" entities={data.routes} columns={[['name', (r) => text(r.name ?? r.id)], ['paths', (r) => text(r.methods ?? []) + ' ' + text(r.paths ?? r.hosts ?? [])], ['service', (r) => `→ ${named(r.service)}`]]} />
      <Entities title="Plugins" entities={data.plugins} columns={[['name', (p) => text(p.instance_name ?? p.name)], ['scope', (p) => `on ${scope(p)}`]]} />
      <section>
        <h2>Process</h2>
        <dl class="options">
          <div><dt>version</dt><dd>{data.version}</dd></div>
          <div><dt>hostname</dt><dd>{data.hostname}</dd></div>
          {Object.entries(data.options).map(([name, value]) => <div key={name}><dt>{name}</dt><dd><bdi>{text(value)}</bdi></dd></div>)}
        </dl>
      </section>
    </div>
  );
}
