//! A plugin's schema as Kong loads it: `schema.lua`.
//!
//! Pure data that requires `kong.db.schema.typedefs` alone: hybrid control planes, Konnect and the ingress controller
//! take the file's text and nothing else (<https://developer.konghq.com/custom-plugins/schema.lua/>).

use serde_json::Value;

use crate::rule::Rule;
use crate::schema::{Check, Field, Record, Schema};
use crate::typedefs::Typedef;

/// Longest line.
const WIDTH: usize = 120;
/// Kong 3.4's bounds of a description, in bytes: a schema with another one is not loaded.
const DESCRIPTION: std::ops::RangeInclusive<usize> = 10..=500;

impl Schema {
    /// The text of the plugin's `schema.lua`. `origin`: how it is written, for the comment at its top.
    pub fn to_lua(&self, origin: &str) -> String {
        let config = Lua::Table(
            [("type", Lua::text("record")), ("required", Lua::word("true"))]
                .into_iter()
                .chain(self.record.lua())
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        );
        let fields = Lua::List(vec![
            Lua::Table(vec![("protocols".to_owned(), Lua::word("typedefs.protocols_http"))]),
            Lua::Table(vec![("config".to_owned(), config)]),
        ]);
        let schema = Lua::Table(vec![("name".to_owned(), Lua::text(self.name)), ("fields".to_owned(), fields)]);
        format!(
            "-- {origin}\nlocal typedefs = require \"kong.db.schema.typedefs\"\n\nreturn {}\n",
            schema.written(0, 7)
        )
    }
}

impl Record {
    fn lua(&self) -> Vec<(&'static str, Lua)> {
        let field = |(name, field): &(&'static str, Field)| Lua::Table(vec![((*name).to_owned(), field.lua())]);
        let mut parts = vec![("fields", Lua::List(self.fields.iter().map(field).collect()))];
        if !self.checks.is_empty() {
            parts.push(("entity_checks", Lua::List(self.checks.iter().map(Check::lua).collect())));
        }
        parts
    }
}

impl Check {
    fn lua(&self) -> Lua {
        Lua::of(&self.to_kong_json())
    }
}

impl Field {
    fn lua(&self) -> Lua {
        let inner = self.inner();
        let typedef = self.rules.iter().find_map(|rule| match rule {
            Rule::Is(Typedef::HeaderName) => Some("typedefs.header_name"),
            _ => None,
        });
        let mut parts = Vec::new();
        if let Value::Object(attributes) = self.to_kong_json() {
            for (name, value) in &attributes {
                let of_inner = inner.iter().find(|(inner, _)| inner == name).map(|(_, field)| field.lua());
                let part = match (name.as_str(), of_inner) {
                    // The typedef brings it.
                    ("type", _) if typedef.is_some() => continue,
                    ("description", _) if !DESCRIPTION.contains(&self.description.len()) => continue,
                    ("fields" | "entity_checks", _) => continue,
                    (_, Some(inner)) => inner,
                    _ => Lua::of(value),
                };
                parts.push((name.clone(), part));
            }
        }
        if let Some(record) = self.record() {
            parts.extend(record.lua().into_iter().map(|(name, part)| (name.to_owned(), part)));
        }
        match typedef {
            Some(typedef) if parts.is_empty() => Lua::word(typedef),
            Some(typedef) => Lua::Call(typedef, Box::new(Lua::Table(parts))),
            None => Lua::Table(parts),
        }
    }
}

/// A Lua expression.
enum Lua {
    Word(String),
    Call(&'static str, Box<Lua>),
    List(Vec<Lua>),
    Table(Vec<(String, Lua)>),
}

impl Lua {
    fn word(word: &str) -> Self {
        Self::Word(word.to_owned())
    }

    fn text(text: &str) -> Self {
        let mut quoted = String::from("\"");
        for character in text.chars() {
            match character {
                '"' | '\\' => quoted.extend(['\\', character]),
                '\n' => quoted.push_str("\\n"),
                _ => quoted.push(character),
            }
        }
        Self::Word(quoted + "\"")
    }

    fn of(value: &Value) -> Self {
        match value {
            // The one null in Kong's schemas is that of `eq = null`, which has a name of its own.
            Value::Null => Self::word("ngx.null"),
            Value::String(text) => Self::text(text),
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Object(entries) => {
                Self::Table(entries.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect())
            }
            plain => Self::Word(plain.to_string()),
        }
    }

    /// On one line where it fits behind `before` bytes, else over several, indented by `indent`.
    fn written(&self, indent: usize, before: usize) -> String {
        let line = self.line();
        if indent + before + line.len() < WIDTH && !line.contains("fields = ") {
            return line;
        }
        let deeper = indent + 2;
        let pad = " ".repeat(deeper);
        let mut out = String::from("{\n");
        match self {
            Self::Word(word) => return word.clone(),
            Self::Call(name, argument) => {
                return format!("{name}({})", argument.written(indent, before + name.len() + 2));
            }
            Self::List(items) if items.iter().all(|item| matches!(item, Self::Word(_))) => {
                let mut row = pad.clone();
                for item in items {
                    let item = item.line();
                    if row.len() + item.len() + 2 > WIDTH {
                        out.push_str(row.trim_end());
                        out.push('\n');
                        row = pad.clone();
                    }
                    row.push_str(&item);
                    row.push_str(", ");
                }
                out.push_str(row.trim_end());
                out.push('\n');
            }
            Self::List(items) => {
                for item in items {
                    out.push_str(&format!("{pad}{},\n", item.written(deeper, 1)));
                }
            }
            Self::Table(entries) => {
                for (name, value) in entries {
                    out.push_str(&format!("{pad}{name} = {},\n", value.written(deeper, name.len() + 4)));
                }
            }
        }
        out + &" ".repeat(indent) + "}"
    }

    fn line(&self) -> String {
        let joined =
            |parts: Vec<String>| if parts.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", parts.join(", ")) };
        match self {
            Self::Word(word) => word.clone(),
            Self::Call(name, argument) => format!("{name}({})", argument.line()),
            Self::List(items) => joined(items.iter().map(Self::line).collect()),
            Self::Table(entries) => {
                joined(entries.iter().map(|(name, value)| format!("{name} = {}", value.line())).collect())
            }
        }
    }
}
