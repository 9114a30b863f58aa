//! What is wrong with a declarative configuration: as lines for people, and nested as Kong's Admin API has it.

use std::fmt;

use ai_tracing_config::Invalid;
use serde_json::{Map, Value, json};

/// A step from a value to one inside it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A field of an object.
    Field(String),
    /// An item of a list, the first being 0.
    Item(usize),
}

/// Where in the document.
pub type Path = Vec<Step>;

/// Everything that is wrong with a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    lines: Vec<String>,
    fields: Value,
}

impl Errors {
    /// The document as a whole cannot be read.
    pub fn unreadable(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { fields: json!({ "error": why }), lines: vec![why] }
    }

    /// Adds one violation.
    pub fn add(&mut self, path: &Path, message: impl Into<String>) {
        let message = message.into();
        self.lines.push(format!("{}: {message}", text(path)));
        place(&mut self.fields, path, Value::String(message));
    }

    /// Adds a schema's violations of the entity at `path`.
    pub fn add_invalid(&mut self, path: &Path, invalid: &Invalid) {
        let prefix = text(path);
        for (inner, message) in invalid.errors() {
            let dot = if inner.is_empty() || inner.starts_with('[') { "" } else { "." };
            self.lines.push(format!("{prefix}{dot}{}: {message}", from_zero(inner)));
        }
        place(&mut self.fields, path, invalid.fields.clone());
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// One line each: `plugins[0].config.langfuse_public_key: required when langfuse_enabled is true`.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Nested as the document is, lists with gaps where nothing is wrong.
    pub fn fields(&self) -> &Value {
        &self.fields
    }
}

/// One line: the first violation, and how many more there are.
impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lines.first().map_or("", String::as_str))?;
        match self.lines.len() {
            0 | 1 => Ok(()),
            count => write!(f, " (and {} more: `ai-tracing config parse` lists them all)", count - 1),
        }
    }
}

impl std::error::Error for Errors {}

/// `services[0].routes[1]`.
pub fn text(path: &Path) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Field(name) if out.is_empty() => out.push_str(name),
            Step::Field(name) => out.extend([".", name]),
            Step::Item(index) => out.push_str(&format!("[{index}]")),
        }
    }
    out
}

/// Schemas count list items from 1, as forms do; a document's items are counted from 0, as its readers do.
fn from_zero(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for part in path.split_inclusive(['[', ']']) {
        match part.strip_suffix(']').and_then(|index| index.parse::<usize>().ok()) {
            Some(index) => out.push_str(&format!("{}]", index.saturating_sub(1))),
            None => out.push_str(part),
        }
    }
    out
}

/// Puts a value at a path; what is there already is merged with it.
fn place(node: &mut Value, path: &[Step], value: Value) {
    let Some((step, rest)) = path.split_first() else {
        return merge(node, value);
    };
    match step {
        Step::Field(name) => {
            if node.is_null() {
                *node = Value::Object(Map::new());
            }
            if let Some(fields) = node.as_object_mut() {
                place(fields.entry(name.as_str()).or_insert(Value::Null), rest, value);
            }
        }
        Step::Item(index) => {
            if node.is_null() {
                *node = Value::Array(Vec::new());
            }
            if let Some(items) = node.as_array_mut() {
                if items.len() <= *index {
                    items.resize(index + 1, Value::Null);
                }
                if let Some(item) = items.get_mut(*index) {
                    place(item, rest, value);
                }
            }
        }
    }
}

fn merge(node: &mut Value, value: Value) {
    match (node, value) {
        (Value::Object(fields), Value::Object(more)) => {
            for (key, value) in more {
                merge(fields.entry(key).or_insert(Value::Null), value);
            }
        }
        (node @ Value::Null, value) => *node = value,
        _ => {}
    }
}
