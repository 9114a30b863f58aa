//! Ids of entities that have none in the file: derived from what names them, with Kong's own namespaces, so that a
//! file gives the same ids here as in Kong, and the same on every load.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::errors::{Path, text};
use crate::db::kind::Kind;

/// Kong's namespace of all declarative entities.
const ENTITIES: Uuid = Uuid::from_u128(0xfd02801f_0957_4a15_a55a_c8d9606f30b5);

/// The id of an entity without one. `parent` is what it stands inside of.
pub fn derive(kind: Kind, fields: &Map<String, Value>, parent: Option<(Kind, &str)>, path: &Path) -> String {
    let namespace = Uuid::new_v5(&ENTITIES, kind.name().as_bytes());
    let named = match kind {
        Kind::Services | Kind::Routes => fields.get("name").and_then(Value::as_str).map(str::to_owned),
        Kind::Plugins => plugin_key(fields, parent),
    };
    // Kong draws a random id for what has no name; the place in the file is as good and stays the same.
    let key = named.unwrap_or_else(|| format!("@{}", text(path)));
    Uuid::new_v5(&namespace, key.as_bytes()).to_string()
}

/// Kong's key of a plugin: kind, workspace, name, route, service, consumer. References count as they are written.
fn plugin_key(fields: &Map<String, Value>, parent: Option<(Kind, &str)>) -> Option<String> {
    let mut key = format!("plugins:*:{}", fields.get("name")?.as_str()?);
    for field in [Kind::Routes, Kind::Services] {
        let written = match fields.get(field.singular()) {
            Some(Value::String(name)) => name,
            Some(reference) if reference.is_object() => {
                reference.get("id").or(reference.get("name")).and_then(Value::as_str).unwrap_or_default()
            }
            _ => parent.filter(|(kind, _)| *kind == field).map(|(_, id)| id).unwrap_or_default(),
        };
        key.push(':');
        key.push_str(written);
    }
    key.push(':');
    Some(key)
}
