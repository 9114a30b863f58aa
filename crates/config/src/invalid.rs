//! What is wrong with a configuration: by path, and in the shapes that Kong's users know.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

/// A refused configuration: every violation at once, each with its path.
#[derive(Clone, Debug, PartialEq)]
pub struct Invalid {
    /// Kong's `fields`: nested as the configuration is; items of lists counted from the first (`null` where there is
    /// nothing to say); what concerns no single field in a list under `@entity`.
    pub fields: Value,
    errors: Vec<(String, String)>,
}

impl Invalid {
    pub(crate) fn new(mut violations: Vec<Violation>) -> Self {
        violations.sort_by(Violation::order);
        let mut fields = Value::Null;
        let mut errors = Vec::new();
        for violation in violations {
            if !violation.implied {
                errors.push((path_text(&violation.path), violation.message.clone()));
            }
            place(&mut fields, &violation.path, violation.entity, violation.message);
        }
        Self { fields, errors }
    }

    /// A single violation at a top-level field.
    pub fn at(field: &str, message: impl Into<String>) -> Self {
        Self::new(vec![Violation::at(vec![Segment::Field(field.to_owned())], message)])
    }

    /// Path and message of each violation. Paths are written `config.redact[1].pattern`, the first item being 1; the
    /// path is empty when the message concerns the whole configuration.
    pub fn errors(&self) -> &[(String, String)] {
        &self.errors
    }

    /// Kong's `message`: `schema violation (config.langfuse_timeout: expected a number)`, or
    /// `2 schema violations (a: …; b: …)`.
    pub fn message(&self) -> String {
        let lines: Vec<String> = self
            .errors
            .iter()
            .map(|(path, message)| if path.is_empty() { message.clone() } else { format!("{path}: {message}") })
            .collect();
        match lines.len() {
            1 => format!("schema violation ({})", lines.concat()),
            count => format!("{count} schema violations ({})", lines.join("; ")),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Invalid {}

/// A step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Segment {
    Field(String),
    /// From 0; shown from 1.
    Index(usize),
}

#[derive(Debug)]
pub(crate) struct Violation {
    pub path: Vec<Segment>,
    pub message: String,
    /// Concerns the record at `path` as a whole: shown under `@entity`.
    pub entity: bool,
    /// Another violation says the same more precisely: in `fields` only, where Kong has it too.
    pub implied: bool,
}

impl Violation {
    pub fn at(path: Vec<Segment>, message: impl Into<String>) -> Self {
        Self { path, message: message.into(), entity: false, implied: false }
    }

    pub fn entity(path: Vec<Segment>, message: impl Into<String>) -> Self {
        Self { entity: true, ..Self::at(path, message) }
    }

    /// By path; what concerns a record before what concerns its fields.
    fn order(a: &Self, b: &Self) -> Ordering {
        a.path.cmp(&b.path)
    }
}

fn path_text(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Field(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Segment::Index(index) => text.push_str(&format!("[{}]", index + 1)),
        }
    }
    text
}

/// Puts a message into Kong's nested errors. What is there already stays: the first message at a path is the one shown.
fn place(node: &mut Value, path: &[Segment], entity: bool, message: String) {
    match path.split_first() {
        None if entity => {
            if let Some(list) = object(node).and_then(|node| array(node.entry("@entity").or_insert(Value::Null))) {
                list.push(message.into());
            }
        }
        None if node.is_null() => *node = message.into(),
        None => {}
        Some((Segment::Field(name), rest)) => {
            if let Some(node) = object(node) {
                place(node.entry(name.as_str()).or_insert(Value::Null), rest, entity, message);
            }
        }
        Some((Segment::Index(index), rest)) => {
            if let Some(list) = array(node) {
                if list.len() <= *index {
                    list.resize(index + 1, Value::Null);
                }
                if let Some(item) = list.get_mut(*index) {
                    place(item, rest, entity, message);
                }
            }
        }
    }
}

fn object(node: &mut Value) -> Option<&mut Map<String, Value>> {
    if node.is_null() {
        *node = Value::Object(Map::new());
    }
    node.as_object_mut()
}

fn array(node: &mut Value) -> Option<&mut Vec<Value>> {
    if node.is_null() {
        *node = Value::Array(Vec::new());
    }
    node.as_array_mut()
}
