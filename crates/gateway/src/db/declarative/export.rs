//! From tables to text.

use serde_json::{Map, Value, json};

use crate::db::kind::Kind;
use crate::db::tables::{Tables, reference};

/// A YAML document that [`super::parse`] turns into the same tables again. It holds every field of every entity,
/// credentials of plugins included, as Kong's export does.
pub fn to_yaml(tables: &Tables) -> Result<String, serde_saphyr::SerializeError> {
    let mut document = Map::new();
    document.insert("_format_version".to_owned(), json!("3.0"));
    document.insert("_transform".to_owned(), json!(false));
    for kind in Kind::ALL {
        let entities: Vec<Value> = tables.all(kind).values().map(|doc| by_id(kind, doc)).collect();
        if !entities.is_empty() {
            document.insert(kind.name().to_owned(), Value::Array(entities));
        }
    }
    serde_saphyr::to_string(&Value::Object(document))
}

/// In a declarative file a reference is the id alone.
fn by_id(kind: Kind, doc: &Value) -> Value {
    let mut doc = doc.clone();
    for parent in kind.parents() {
        let id = reference(&doc, *parent).map(str::to_owned);
        if let (Some(fields), Some(id)) = (doc.as_object_mut(), id) {
            fields.insert(parent.singular().to_owned(), Value::String(id));
        }
    }
    doc
}
