//! Why a change was refused, in Kong's codes, names and words.
//!
//! The texts follow Kong 3.9 (`kong/db/errors.lua`), because scripts and tools look at them. Values of plugin
//! configurations never stand in one: only ids, names and the schema's own messages do.

use serde_json::{Value, json};

use super::lua;

/// Kong's error codes, as far as this gateway has a use for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // Kong's own names
pub enum Code {
    SchemaViolation = 2,
    PrimaryKeyViolation = 3,
    ForeignKeyViolation = 4,
    UniqueViolation = 5,
    NotFound = 6,
    InvalidOffset = 7,
    InvalidSize = 9,
    InvalidOptions = 11,
    OperationUnsupported = 12,
    ForeignKeysUnresolved = 13,
    DeclarativeConfig = 14,
}

impl Code {
    /// Kong's name of the error.
    pub fn name(self) -> &'static str {
        match self {
            Self::SchemaViolation => "schema violation",
            Self::PrimaryKeyViolation => "primary key violation",
            Self::ForeignKeyViolation => "foreign key violation",
            Self::UniqueViolation => "unique constraint violation",
            Self::NotFound => "not found",
            Self::InvalidOffset => "invalid offset",
            Self::InvalidSize => "invalid size",
            Self::InvalidOptions => "invalid options",
            Self::OperationUnsupported => "operation unsupported",
            Self::ForeignKeysUnresolved => "foreign keys unresolved",
            Self::DeclarativeConfig => "invalid declarative configuration",
        }
    }

    /// The HTTP status Kong's Admin API answers with.
    pub fn status(self) -> u16 {
        match self {
            Self::UniqueViolation => 409,
            Self::NotFound => 404,
            Self::OperationUnsupported => 405,
            _ => 400,
        }
    }
}

/// A refusal the caller can do something about.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Kong's code.
    pub code: Code,
    /// One line.
    pub message: String,
    /// What exactly, by field; absent where Kong has none.
    pub fields: Option<Value>,
}

/// Why an operation on the configuration did not happen.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The caller asked for something that cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The storage failed: nothing was changed.
    #[error("configuration database: {0}")]
    Storage(#[from] rusqlite::Error),
    /// A stored or validated entity does not have the shape the gateway works with: nothing was changed.
    #[error("configuration entity: {0}")]
    Shape(#[from] serde_json::Error),
}

impl Refusal {
    fn new(code: Code, message: impl Into<String>, fields: Option<Value>) -> Self {
        Self { code, message: message.into(), fields }
    }

    /// A schema violation. `message` is Kong's summary line, `fields` its nested form.
    pub fn schema(message: impl Into<String>, fields: Value) -> Self {
        Self::new(Code::SchemaViolation, message, Some(fields))
    }

    /// A violation that concerns the configuration as a whole, such as a route's regular expression that does not
    /// compile.
    pub fn entity(why: &str) -> Self {
        Self::schema(format!("schema violation ({why})"), json!({ "@entity": [why] }))
    }

    /// The id is taken.
    pub fn primary_key(id: &str) -> Self {
        let key = json!({ "id": id });
        Self::new(Code::PrimaryKeyViolation, format!("primary key violation on key '{}'", lua::pretty(&key)), Some(key))
    }

    /// The value of a unique field (or of several that are unique together) is taken.
    pub fn unique(fields: Value) -> Self {
        let message = format!("UNIQUE violation detected on '{}'", lua::pretty(&fields));
        Self::new(Code::UniqueViolation, message, Some(fields))
    }

    /// A reference to an entity that does not exist.
    pub fn dangling(field: &str, id: &str, parent: &str) -> Self {
        let key = json!({ "id": id });
        let message =
            format!("the foreign key '{}' does not reference an existing '{parent}' entity.", lua::pretty(&key));
        Self::new(Code::ForeignKeyViolation, message, Some(json!({ field: key })))
    }

    /// The entity cannot go: others refer to it.
    pub fn referenced(parent: &str, child: &str) -> Self {
        let message = format!("an existing '{child}' entity references this '{parent}' entity");
        Self::new(Code::ForeignKeyViolation, message, Some(json!({ "@referenced_by": child })))
    }

    /// A reference by name to an entity that does not exist.
    pub fn unresolved(field: &str, name: &str, parent: &str) -> Self {
        let why = format!(
            "the foreign key cannot be resolved with '{}' for an existing '{parent}' entity",
            lua::pretty(&json!({ "name": name }))
        );
        let message = format!("foreign key unresolved ({field}.name: {why})");
        Self::new(Code::ForeignKeysUnresolved, message, Some(json!({ field: { "name": why } })))
    }

    /// No entity has this id.
    pub fn no_such_id(id: &str) -> Self {
        let key = json!({ "id": id });
        let message = format!("could not find the entity with primary key '{}'", lua::pretty(&key));
        Self::new(Code::NotFound, message, Some(key))
    }

    /// No entity has this name.
    pub fn no_such_name(field: &str, name: &str) -> Self {
        let key = json!({ field: name });
        Self::new(Code::NotFound, format!("could not find the entity with '{}'", lua::pretty(&key)), Some(key))
    }

    /// The page's beginning is not one that an earlier page named.
    pub fn offset(offset: &str, why: &str) -> Self {
        Self::new(Code::InvalidOffset, format!("'{offset}' is not a valid offset: {why}"), None)
    }

    /// The page's size is not one.
    pub fn size(why: &str) -> Self {
        Self::new(Code::InvalidSize, why, None)
    }

    /// The `tags` filter is not one.
    pub fn tags(why: &str) -> Self {
        Self::new(Code::InvalidOptions, format!("invalid option (tags: {why})"), Some(json!({ "tags": why })))
    }

    /// The configuration comes from a declarative file.
    pub fn read_only(operation: &str, entities: &str, by: Option<&str>) -> Self {
        let by = by.map(|field| format!(" by '{field}'")).unwrap_or_default();
        let message = format!("cannot {operation} '{entities}' entities{by} when not using a database");
        Self::new(Code::OperationUnsupported, message, None)
    }

    /// A declarative configuration that is not one; `fields` as Kong nests them.
    pub fn declarative(fields: Value) -> Self {
        let message = format!("declarative config is invalid: {}", lua::pretty(&fields));
        Self::new(Code::DeclarativeConfig, message, Some(fields))
    }

    /// The body of Kong's answer.
    pub fn to_json(&self) -> Value {
        let mut body = json!({ "code": self.code as u8, "name": self.code.name(), "message": self.message });
        if let (Some(body), Some(fields)) = (body.as_object_mut(), &self.fields) {
            let key = if self.code == Code::InvalidOptions { "options" } else { "fields" };
            body.insert(key.to_owned(), fields.clone());
        }
        body
    }
}
