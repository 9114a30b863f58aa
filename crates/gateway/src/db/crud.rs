//! Reading and writing single entities, by id or name.

use std::ops::Bound;

use ai_tracing_config::{Invalid, Stamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Db;
use super::error::{DbError, Refusal};
use super::kind::Kind;
use super::page::{Page, Paging};
use super::tables::{Tables, id_of, reference, text};

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::schema(invalid.message(), invalid.fields)
    }
}

impl From<Invalid> for DbError {
    fn from(invalid: Invalid) -> Self {
        Refusal::from(invalid).into()
    }
}

/// A field that refers to another entity: `/routes/{route}/service`.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// Kind of the entity that has the field.
    pub of: Kind,
    /// Its id or name.
    pub key: &'a str,
    /// What the field refers to.
    pub to: Kind,
}

impl Db {
    /// An entity by id or name.
    pub fn get(&self, kind: Kind, key: &str) -> Option<Value> {
        find(&self.tables(), kind, key).cloned()
    }

    /// Entities that `keep` lets through, a page at a time.
    pub fn list(&self, kind: Kind, paging: &Paging, keep: impl Fn(&Value) -> bool) -> Page {
        let tables = self.tables();
        let after = paging.after.as_ref().map_or("", |(id, _)| id);
        let entries = tables.all(kind).range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        let entries = entries.filter(|(_, doc)| keep(doc));
        paging.page(entries.map(|(id, doc)| ((id.clone(), 0), doc.clone())))
    }

    /// Every tag of every entity, or of those that have `tag`, a page at a time.
    pub fn tags(&self, paging: &Paging, tag: Option<&str>) -> Page {
        let tables = self.tables();
        let mut entries = Vec::new();
        for kind in Kind::ALL {
            for (id, doc) in tables.all(kind) {
                let tags = doc.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
                let wanted = tags.filter(|each| tag.is_none_or(|tag| tag == *each));
                for (count, each) in (1..).zip(wanted) {
                    let entry = json!({ "entity_name": kind.name(), "entity_id": id, "tag": each });
                    entries.push(((id.clone(), count), entry));
                }
            }
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        paging.page(entries.into_iter())
    }

    /// Validates an entity without keeping it.
    pub fn validate(&self, kind: Kind, mut input: Value) -> Result<(), DbError> {
        resolve(&self.tables(), kind, &mut input)?;
        self.complete(kind, input)?;
        Ok(())
    }

    /// Adds an entity.
    pub fn insert(&self, kind: Kind, mut input: Value) -> Result<Value, DbError> {
        self.change(|tables| {
            resolve(tables, kind, &mut input)?;
            let doc = self.complete(kind, input)?;
            self.writable("create", kind, None)?;
            tables.insert(kind, doc.clone()).map_err(Refusal::from)?;
            Ok(doc)
        })
    }

    /// Merges `patch` into an entity.
    pub fn update(&self, kind: Kind, key: &str, mut patch: Value) -> Result<Value, DbError> {
        self.change(|tables| {
            let current = find(tables, kind, key).ok_or_else(|| not_found(kind, key))?.clone();
            resolve(tables, kind, &mut patch)?;
            let doc = kind.schema().update_stamped(&current, patch, self.now())?;
            self.writable("update", kind, Some(key))?;
            tables.put(kind, doc.clone()).map_err(Refusal::from)?;
            Ok(doc)
        })
    }

    /// Puts an entity in the place of the one with this id or name, or adds it.
    pub fn upsert(&self, kind: Kind, key: &str, input: Value) -> Result<Value, DbError> {
        self.change(|tables| {
            let doc = self.replacement(tables, kind, key, input)?;
            self.writable("create or update", kind, Some(key))?;
            tables.put(kind, doc.clone()).map_err(Refusal::from)?;
            Ok(doc)
        })
    }

    /// Puts an entity in the place of the one that a field refers to, or adds it and makes the field refer to it.
    /// `None`: there is no entity with such a field.
    pub fn upsert_referred(&self, field: Reference<'_>, input: Value) -> Result<Option<Value>, DbError> {
        let Reference { of, key, to } = field;
        self.change(|tables| {
            let Some(owner) = find(tables, of, key).cloned() else { return Ok(None) };
            let existing = reference(&owner, to).map(str::to_owned);
            let key = existing.clone().unwrap_or_else(new_id);
            let doc = self.replacement(tables, to, &key, input)?;
            self.writable("create or update", to, Some(&key))?;
            tables.put(to, doc.clone()).map_err(Refusal::from)?;
            if existing.is_none() {
                let patch = json!({ to.singular(): { "id": id_of(&doc) } });
                let owner = of.schema().update_stamped(&owner, patch, self.now())?;
                tables.put(of, owner).map_err(Refusal::from)?;
            }
            Ok(Some(doc))
        })
    }

    /// Removes an entity, if there is one.
    pub fn delete(&self, kind: Kind, key: &str) -> Result<(), DbError> {
        self.change(|tables| {
            let Some(id) = find(tables, kind, key).map(|doc| id_of(doc).to_owned()) else { return Ok(()) };
            self.writable("remove", kind, Some(key))?;
            tables.remove(kind, &id).map_err(Refusal::from)?;
            Ok(())
        })
    }

    /// The whole entity that a PUT at `key` asks for.
    fn replacement(&self, tables: &Tables, kind: Kind, key: &str, mut input: Value) -> Result<Value, DbError> {
        resolve(tables, kind, &mut input)?;
        let current = find(tables, kind, key);
        if let Some(fields) = input.as_object_mut() {
            if is_id(key) {
                fields.insert("id".to_owned(), json!(key.to_ascii_lowercase()));
            } else {
                fields.insert(kind.endpoint_key().to_owned(), json!(key));
            }
            for kept in ["id", "created_at"] {
                if let Some(value) = current.and_then(|current| current.get(kept)) {
                    fields.insert(kept.to_owned(), value.clone());
                }
            }
        }
        self.complete(kind, input)
    }

    fn complete(&self, kind: Kind, mut input: Value) -> Result<Value, DbError> {
        lower_id(&mut input);
        Ok(kind.schema().create_stamped(input, Stamp { id: &new_id(), now: self.now() })?)
    }

    fn writable(&self, operation: &str, kind: Kind, key: Option<&str>) -> Result<(), Refusal> {
        if !self.is_declarative() {
            return Ok(());
        }
        let by = key.filter(|key| !is_id(key)).map(|_| kind.endpoint_key());
        Err(Refusal::read_only(operation, kind.name(), by))
    }
}

/// Ids are UUIDs that grow with time, so that lists are in the order of creation.
fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// Whether a key in a URL is an id rather than a name.
fn is_id(key: &str) -> bool {
    key.len() == 36 && Uuid::try_parse(key).is_ok()
}

fn find<'a>(tables: &'a Tables, kind: Kind, key: &str) -> Option<&'a Value> {
    if is_id(key) { tables.get(kind, &key.to_ascii_lowercase()) } else { tables.by_name(kind, key) }
}

fn not_found(kind: Kind, key: &str) -> Refusal {
    if is_id(key) { Refusal::no_such_id(key) } else { Refusal::no_such_name(kind.endpoint_key(), key) }
}

fn lower_id(entity: &mut Value) {
    if let Some(Value::String(id)) = entity.get_mut("id")
        && is_id(id)
    {
        id.make_ascii_lowercase();
    }
}

/// References may name what they refer to: `{"service": {"name": "ai"}}` becomes `{"service": {"id": ...}}`.
fn resolve(tables: &Tables, kind: Kind, input: &mut Value) -> Result<(), Refusal> {
    for parent in kind.parents() {
        let field = parent.singular();
        let Some(Value::Object(to)) = input.get_mut(field) else { continue };
        let id = match (id_in(to), to.get("name").and_then(Value::as_str)) {
            (Some(id), _) => id,
            (None, Some(name)) if !to.contains_key("id") => match tables.by_name(*parent, name) {
                Some(doc) => id_of(doc).to_owned(),
                None => return Err(Refusal::unresolved(field, name, parent.name())),
            },
            _ => continue, // the schema says what is wrong with it
        };
        *to = Map::from_iter([("id".to_owned(), Value::String(id))]);
    }
    Ok(())
}

fn id_in(reference: &Map<String, Value>) -> Option<String> {
    reference.get("id").and_then(Value::as_str).filter(|id| is_id(id)).map(str::to_ascii_lowercase)
}

/// The plugin names in use.
pub fn plugin_names(tables: &Tables) -> Vec<&str> {
    let mut names: Vec<_> = tables.all(Kind::Plugins).values().filter_map(|plugin| text(plugin, "name")).collect();
    names.sort_unstable();
    names.dedup();
    names
}
