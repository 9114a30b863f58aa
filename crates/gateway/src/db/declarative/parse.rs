//! From text to tables.

use std::collections::BTreeMap;

use ai_tracing_config::Stamp;
use serde_json::{Map, Value, json};

use super::errors::{Errors, Path, Step};
use super::ids;
use crate::db::kind::Kind;
use crate::db::tables::{Conflict, Tables};

/// Formats of Kong that are read; they differ in how regular expressions are marked in `paths`.
const FORMATS: [&str; 3] = ["1.1", "2.1", "3.0"];

/// What Kong has and this gateway does not: refused by name rather than as a typing error.
const ABSENT: [&str; 24] = [
    "acls",
    "basicauth_credentials",
    "ca_certificates",
    "certificates",
    "consumer_group_consumers",
    "consumer_group_plugins",
    "consumer_groups",
    "consumers",
    "custom_plugins",
    "degraphql_routes",
    "filter_chains",
    "hmacauth_credentials",
    "jwt_secrets",
    "key_sets",
    "keyauth_credentials",
    "keys",
    "licenses",
    "oauth2_credentials",
    "partials",
    "snis",
    "targets",
    "upstreams",
    "vaults",
    "workspaces",
];

/// Reads a document: JSON, or YAML.
pub fn read(document: &str) -> Result<Value, Errors> {
    let value = match serde_json::from_str(document) {
        Ok(value) => value,
        Err(_) => serde_saphyr::from_str(document).map_err(|why| {
            // Without the excerpt: it may hold credentials.
            Errors::unreadable(format!("failed parsing declarative configuration: {}", why.without_snippet()))
        })?,
    };
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(Errors::unreadable("failed parsing declarative configuration: expected an object")),
    }
}

/// Reads, validates and connects all entities of a document. `now` (seconds since the epoch) becomes their time of
/// creation where the document gives none.
pub fn parse(document: Value, now: u64) -> Result<Tables, Errors> {
    let mut walk = Walk::default();
    walk.document(document);
    walk.tables(now)
}

/// An entity of the document, taken out of what it stood inside of.
struct Item {
    kind: Kind,
    path: Path,
    id: String,
    fields: Map<String, Value>,
}

#[derive(Default)]
struct Walk {
    items: Vec<Item>,
    errors: Errors,
    /// Before Kong 3.0 a path that looked like a regular expression was one.
    unmarked_regexes: bool,
}

impl Walk {
    fn document(&mut self, document: Value) {
        let Value::Object(mut document) = document else {
            self.errors = Errors::unreadable("failed parsing declarative configuration: expected an object");
            return;
        };
        let at = |field: &str| vec![Step::Field(field.to_owned())];
        match document.shift_remove("_format_version") {
            None | Some(Value::Null) => self.errors.add(&at("_format_version"), "required field missing"),
            Some(Value::String(format)) if FORMATS.contains(&format.as_str()) => {
                self.unmarked_regexes = format != "3.0";
            }
            Some(Value::String(_)) => {
                self.errors.add(&at("_format_version"), format!("expected one of: {}", FORMATS.join(", ")));
            }
            Some(_) => self.errors.add(&at("_format_version"), "expected a string"),
        }
        if !matches!(document.shift_remove("_transform"), None | Some(Value::Null | Value::Bool(_))) {
            self.errors.add(&at("_transform"), "expected a boolean");
        }
        for ignored in ["_comment", "_ignore"] {
            document.shift_remove(ignored);
        }
        for kind in Kind::ALL {
            self.list(kind, document.shift_remove(kind.name()), &Path::new(), None);
        }
        for (field, value) in document {
            match ABSENT.contains(&field.as_str()) {
                true if is_empty(&value) => {}
                true => self.errors.add(
                    &at(&field),
                    "not supported: this gateway has services, routes and plugins, and no other entities of Kong",
                ),
                false => self.errors.add(&at(&field), "unknown field"),
            }
        }
    }

    /// Takes a list of entities apart, with those that stand inside of them.
    fn list(&mut self, kind: Kind, list: Option<Value>, within: &Path, parent: Option<(Kind, &str)>) {
        let path = |index: Option<usize>| {
            let mut path = within.clone();
            path.push(Step::Field(kind.name().to_owned()));
            path.extend(index.map(Step::Item));
            path
        };
        let entities = match list {
            None | Some(Value::Null) => return,
            Some(Value::Array(entities)) => entities,
            Some(Value::Object(empty)) if empty.is_empty() => return,
            Some(_) => return self.errors.add(&path(None), "expected an array"),
        };
        for (index, entity) in entities.into_iter().enumerate() {
            let path = path(Some(index));
            match entity {
                Value::Object(fields) => self.entity(kind, fields, path, parent),
                _ => self.errors.add(&path, "expected a record"),
            }
        }
    }

    fn entity(&mut self, kind: Kind, mut fields: Map<String, Value>, path: Path, parent: Option<(Kind, &str)>) {
        for ignored in ["_comment", "_ignore"] {
            fields.shift_remove(ignored);
        }
        let id = match fields.get("id").and_then(Value::as_str) {
            Some(id) => id.to_ascii_lowercase(),
            None => ids::derive(kind, &fields, parent, &path),
        };
        if fields.get("id").is_none_or(|given| given.is_null() || given.is_string()) {
            fields.insert("id".to_owned(), json!(id));
        }
        if let Some((kind, id)) = parent {
            fields.insert(kind.singular().to_owned(), json!({ "id": id }));
        }
        if self.unmarked_regexes && kind == Kind::Routes {
            mark_regexes(&mut fields);
        }
        let nested: Vec<_> = kind.children().map(|child| (child, fields.shift_remove(child.name()))).collect();
        self.items.push(Item { kind, path: path.clone(), id: id.clone(), fields });
        for (child, list) in nested {
            self.list(child, list, &path, Some((kind, &id)));
        }
    }

    fn tables(mut self, now: u64) -> Result<Tables, Errors> {
        let names = self.names();
        let mut items = std::mem::take(&mut self.items);
        items.sort_by_key(|item| item.kind); // stable: what is referred to comes first
        let mut tables = Tables::default();
        for Item { kind, path, id, mut fields } in items {
            if !self.resolve(kind, &mut fields, &path, &names) {
                continue;
            }
            match kind.schema().create_stamped(Value::Object(fields), Stamp { id: &id, now }) {
                Ok(doc) => self.insert(&mut tables, kind, doc, &path),
                Err(invalid) => self.errors.add_invalid(&path, &invalid),
            }
        }
        if self.errors.is_empty() { Ok(tables) } else { Err(self.errors) }
    }

    /// Ids by what may stand for them in a reference: the id itself, and the name of a service or route.
    fn names(&self) -> BTreeMap<(Kind, String), String> {
        let mut names = BTreeMap::new();
        for item in &self.items {
            names.insert((item.kind, item.id.clone()), item.id.clone());
            if let Some(name) = item.fields.get("name").and_then(Value::as_str)
                && item.kind != Kind::Plugins
            {
                names.entry((item.kind, name.to_owned())).or_insert_with(|| item.id.clone());
            }
        }
        names
    }

    /// Replaces references by name with references by id; `false` when one leads nowhere.
    fn resolve(
        &mut self,
        kind: Kind,
        fields: &mut Map<String, Value>,
        path: &Path,
        names: &BTreeMap<(Kind, String), String>,
    ) -> bool {
        let mut resolved = true;
        for parent in kind.parents() {
            let field = parent.singular();
            let key = match fields.get(field) {
                Some(Value::String(key)) => key.clone(),
                Some(Value::Object(to)) => match to.get("id").or(to.get("name")).and_then(Value::as_str) {
                    Some(key) => key.to_owned(),
                    None => continue, // the schema says what is wrong with it
                },
                _ => continue,
            };
            if let Some(id) = names.get(&(*parent, key.clone())) {
                fields.insert(field.to_owned(), json!({ "id": id }));
            } else {
                let mut path = path.clone();
                path.push(Step::Field(field.to_owned()));
                let why = format!("invalid reference '{field}: {key}' (no such entry in '{}')", parent.name());
                self.errors.add(&path, why);
                resolved = false;
            }
        }
        resolved
    }

    fn insert(&mut self, tables: &mut Tables, kind: Kind, doc: Value, path: &Path) {
        let taken = |key: &str, value: &str| {
            format!("uniqueness violation: '{}' entity with {key} set to '{value}' already declared", kind.name())
        };
        let why = match tables.insert(kind, doc) {
            Ok(()) => return,
            // What it refers to was refused, and that is reported there.
            Err(Conflict::Dangling(..) | Conflict::Referenced(..)) => return,
            Err(Conflict::Id(id)) => taken("primary key", &id),
            Err(Conflict::Name(field, name)) => taken(field, &name),
            Err(Conflict::Scope(_)) => "uniqueness violation: a plugin of this name already stands here".to_owned(),
        };
        self.errors.add(path, why);
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Kong before 3.0 took a path for a regular expression when it held anything beyond unreserved characters, `/` and
/// percent-encoding.
fn mark_regexes(route: &mut Map<String, Value>) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.-_~%".contains(c);
    for path in route.get_mut("paths").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::String(text) = path
            && !text.starts_with('~')
            && !text.chars().all(plain)
        {
            text.insert(0, '~');
        }
    }
}
