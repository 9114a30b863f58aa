//! What entities and plugins have to look like, and whether one does.

use http::StatusCode;

use super::body::Body;
use super::reply::Reply;
use crate::db::{Db, Kind};

/// GET `/schemas/{entity}`
pub fn entity(name: &str) -> Reply {
    match Kind::of(name) {
        Some(kind) => Reply::ok(kind.schema().to_kong_json()),
        None => unknown(name),
    }
}

/// GET `/schemas/plugins/{name}`
pub fn plugin(name: &str) -> Reply {
    match ai_tracing_config::plugins::to_kong_json(name) {
        Some(schema) => Reply::ok(schema),
        None => Reply::message(StatusCode::NOT_FOUND, &format!("No plugin named '{name}'")),
    }
}

/// POST `/schemas/{entity}/validate`
pub fn validate(db: &Db, name: &str, body: Body) -> Result<Reply, Reply> {
    let kind = Kind::of(name).ok_or_else(|| unknown(name))?;
    db.validate(kind, body.into_entity(kind.schema(), None))?;
    Ok(Reply::message(StatusCode::OK, "schema validation successful"))
}

fn unknown(name: &str) -> Reply {
    Reply::message(StatusCode::NOT_FOUND, &format!("No entity named '{name}'"))
}
