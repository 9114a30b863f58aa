//! The whole configuration as one declarative document: `/config`.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Query;
use super::body::Body;
use super::reply::Reply;
use crate::db::{Db, Kind, LoadError, Tables, declarative};

/// GET: what is live, as YAML under `config`. Unlike Kong, with a database too.
pub fn export(db: &Db) -> Result<Reply, Reply> {
    let yaml = declarative::to_yaml(&db.tables()).map_err(|why| {
        tracing::error!(%why, "the configuration cannot be exported");
        Reply::unexpected()
    })?;
    Ok(Reply::ok(json!({ "config": yaml })))
}

/// POST: replaces everything; without a database only.
pub fn load(db: &Db, query: &Query, body: Body) -> Result<Reply, Reply> {
    if !db.is_declarative() {
        return Err(bad_request("this endpoint is only available when Kong is configured to not use a database"));
    }
    let document = document(body)?;
    let tables = declarative::parse(document, db.now()).map_err(LoadError::from)?;
    if query.get("check_hash") == Some("1") && tables.digest() == db.digest() {
        return Ok(Reply::empty(StatusCode::NOT_MODIFIED));
    }
    Ok(Reply::created(by_id(&*db.replace(tables)?)))
}

/// The document itself, or what a `config` field holds of it as text.
fn document(body: Body) -> Result<Value, Reply> {
    let none = || bad_request("expected a declarative configuration");
    let text = match body {
        Body::Yaml(text) => text,
        Body::Form(fields) => fields.into_iter().find(|(name, _)| name == "config").ok_or_else(none)?.1,
        Body::Json(mut fields) if !fields.contains_key("_format_version") => match fields.shift_remove("config") {
            Some(Value::String(text)) => text,
            Some(_) => return Err(none()),
            None => return Ok(Value::Object(fields)),
        },
        Body::Json(fields) => return Ok(Value::Object(fields)),
    };
    if text.trim().is_empty() {
        return Err(none());
    }
    Ok(declarative::read(&text).map_err(LoadError::from)?)
}

fn by_id(tables: &Tables) -> Value {
    let mut kinds = Map::new();
    for kind in Kind::ALL.into_iter().filter(|kind| !tables.all(*kind).is_empty()) {
        let entities = tables.all(kind).iter().map(|(id, doc)| (id.clone(), doc.clone()));
        kinds.insert(kind.name().to_owned(), Value::Object(entities.collect()));
    }
    Value::Object(kinds)
}

fn bad_request(message: &str) -> Reply {
    Reply::message(StatusCode::BAD_REQUEST, message)
}
