//! Form-encoded bodies as Kong's Admin API reads them: `config.langfuse_enabled=true`, `paths[]=/a&paths[]=/b`,
//! `config.redact[1].pattern=\d+`.
//!
//! In: percent-decoded pairs. Out: JSON typed by a schema, for [`Schema::create`] and [`Schema::update`], which say
//! what is wrong with it: decoding itself cannot fail. As in Kong 3:
//!
//! - dots separate names, `[n]` is the n-th item of a list (from 1), `[]` appends;
//! - a repeated name is a list (`tags=a&tags=b`), and a list may be given as its only item (`paths=/a`). A comma does
//!   not separate: it may stand in a path or a regular expression;
//! - an empty value is `null`;
//! - numbers and booleans are read where the schema has them; what is none stays a string, for the schema to refuse.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::schema::{Field, Kind, Record, Schema};

/// Names nest no deeper than this; longer ones are taken as they are, which no schema knows.
const MAX_DEPTH: usize = 16;

/// Decodes `pairs`. `current` is the entity to be patched, if any: it tells which plugin `config` belongs to when the
/// pairs do not.
pub fn decode<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)], schema: &Schema, current: Option<&Value>) -> Value {
    let mut root = Node::default();
    for (name, value) in pairs {
        match steps(name.as_ref()) {
            Some(steps) => root.insert(&steps, value.as_ref()),
            None => root.insert(&[Step::Name(name.as_ref())], value.as_ref()),
        }
    }
    let own_type = root.child_text(schema.subschema.as_ref().map_or("", |subschema| subschema.key));
    let inner = match own_type {
        Some(key) => schema.subschema.as_ref().and_then(|subschema| (subschema.find)(key)),
        None => schema.subschema_of(current),
    };
    let inner_field = schema.subschema.as_ref().map(|subschema| subschema.field);
    let fields = root.names.into_iter().map(|(name, node)| {
        let value = match inner {
            Some(inner) if Some(name.as_str()) == inner_field => node.record(&inner.record),
            _ => node.named(&schema.record, &name),
        };
        (name, value)
    });
    Value::Object(fields.collect())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step<'a> {
    Name(&'a str),
    /// From 1.
    Index(u32),
    Append,
}

/// The steps of a name; `None` when it is not of the form `name.name[n][].…`.
fn steps(name: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for part in name.split('.') {
        let (name, mut brackets) = part.split_at(part.find('[').unwrap_or(part.len()));
        if name.is_empty() {
            return None;
        }
        steps.push(Step::Name(name));
        while !brackets.is_empty() {
            let (index, rest) = brackets.strip_prefix('[')?.split_once(']')?;
            steps.push(match index {
                "" => Step::Append,
                digits => Step::Index(digits.parse().ok().filter(|index| *index > 0)?),
            });
            brackets = rest;
        }
    }
    (steps.len() <= MAX_DEPTH).then_some(steps)
}

/// What the pairs said about one name: texts, items, names below it. Its size is that of the pairs: `[1000000]` is one
/// item, not a million.
#[derive(Default)]
struct Node {
    texts: Vec<String>,
    items: BTreeMap<u32, Node>,
    names: BTreeMap<String, Node>,
}

impl Node {
    fn insert(&mut self, steps: &[Step<'_>], text: &str) {
        let Some((step, rest)) = steps.split_first() else {
            self.texts.push(text.to_owned());
            return;
        };
        let child = match step {
            Step::Name(name) => self.names.entry((*name).to_owned()).or_default(),
            Step::Index(index) => self.items.entry(*index).or_default(),
            Step::Append => {
                let last = self.items.last_key_value().map_or(0, |(index, _)| *index);
                self.items.entry(last.saturating_add(1)).or_default()
            }
        };
        child.insert(rest, text);
    }

    fn child_text(&self, name: &str) -> Option<&str> {
        self.names.get(name)?.texts.first().map(String::as_str)
    }

    fn typed(self, field: Option<&Field>) -> Value {
        match field.map(|field| &field.kind) {
            Some(Kind::Array(element) | Kind::Set(element)) if self.names.is_empty() => self.list(element),
            Some(Kind::Record(record)) if self.is_names() => self.record(record),
            Some(Kind::Map { values, .. }) if self.is_names() => {
                Value::Object(self.names.into_iter().map(|(name, node)| (name, node.typed(Some(values)))).collect())
            }
            kind => self.plain(kind),
        }
    }

    fn list(self, element: &Field) -> Value {
        // `paths=`: no list at all, where `paths[]=` is one with an empty item.
        if self.items.is_empty() && self.texts.iter().all(String::is_empty) {
            return Value::Null;
        }
        if self.has_gaps() {
            return self.numbered();
        }
        let texts = self.texts.into_iter().map(|text| scalar(text, Some(&element.kind)));
        texts.chain(self.items.into_values().map(|item| item.typed(Some(element)))).collect()
    }

    /// True when the items are not numbered 1, 2, 3, …: no list, as in Kong.
    fn has_gaps(&self) -> bool {
        self.items.keys().zip(1..).any(|(index, wanted)| *index != wanted)
    }

    /// Items with gaps as an object by number, which is no list to the schema.
    fn numbered(self) -> Value {
        let items = self.items.into_iter().map(|(index, item)| (index.to_string(), item.typed(None)));
        Value::Object(items.collect())
    }

    fn is_names(&self) -> bool {
        !self.names.is_empty() && self.texts.is_empty() && self.items.is_empty()
    }

    fn record(self, record: &Record) -> Value {
        if !self.is_names() {
            return self.plain(Some(&Kind::Any));
        }
        let fields = self.names.into_iter().map(|(name, node)| {
            let value = node.named(record, &name);
            (name, value)
        });
        Value::Object(fields.collect())
    }

    fn named(self, record: &Record, name: &str) -> Value {
        let shorthand = record.shorthands.iter().any(|shorthand| shorthand.name == name);
        if shorthand { self.plain(Some(&Kind::String)) } else { self.typed(record.field(name)) }
    }

    /// What does not fit the schema, or is in none, in the shape in which it was written.
    fn plain(self, kind: Option<&Kind>) -> Value {
        // Texts and names at once (`a=1&a.b=2`) contradict each other: neither may pass for the whole.
        let wants_names = matches!(kind, Some(Kind::Record(_) | Kind::Map { .. } | Kind::Any));
        if self.is_names() || (!self.names.is_empty() && !wants_names) {
            let fields: Map<_, _> = self.names.into_iter().map(|(name, node)| (name, node.typed(None))).collect();
            return Value::Object(fields);
        }
        if self.has_gaps() {
            return self.numbered();
        }
        let single = self.items.is_empty() && self.texts.len() == 1;
        let mut values = self.texts.into_iter().map(|text| scalar(text, kind));
        match values.next() {
            Some(value) if single => value,
            None if self.items.is_empty() => Value::Null,
            first => {
                first.into_iter().chain(values).chain(self.items.into_values().map(|item| item.typed(None))).collect()
            }
        }
    }
}

fn scalar(text: String, kind: Option<&Kind>) -> Value {
    match (kind, text.as_str()) {
        (Some(_), "") => Value::Null,
        (Some(Kind::Boolean), "true") => Value::Bool(true),
        (Some(Kind::Boolean), "false") => Value::Bool(false),
        (Some(Kind::Integer | Kind::Number), digits) => number(digits).unwrap_or(Value::String(text)),
        _ => Value::String(text),
    }
}

/// Whole numbers stay exact; `inf` and `NaN` are no numbers.
fn number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    let number: f64 = text.parse().ok()?;
    serde_json::Number::from_f64(number).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::entities::{plugin, route, service};

    #[track_caller]
    fn decodes(schema: &Schema, pairs: &[(&str, &str)], expected: Value) {
        assert_eq!(decode(pairs, schema, None), expected);
    }

    #[test]
    fn dots_nest_and_the_named_plugin_gives_the_types() {
        decodes(
            plugin::schema(),
            &[
                ("name", "ai-tracing"),
                ("config.langfuse_enabled", "true"),
                ("config.langfuse_public_key", "pk-lf-1"),
                ("config.langfuse_timeout", "2500"),
                ("config.sampling_ratio", "0.5"),
                ("config.queue.max_batch_size", "10"),
                ("config.redact[1].pattern", "\\d+"),
                ("config.redact[2].pattern", "[a-z]+"),
                ("config.redact[1].replacement", "#"),
            ],
            json!({"name": "ai-tracing", "config": {
                "langfuse_enabled": true, "langfuse_public_key": "pk-lf-1", "langfuse_timeout": 2500,
                "sampling_ratio": 0.5, "queue": {"max_batch_size": 10},
                "redact": [{"pattern": "\\d+", "replacement": "#"}, {"pattern": "[a-z]+"}],
            }}),
        );
    }

    #[test]
    fn a_patch_takes_its_types_from_the_entity_it_patches() {
        let current = json!({"name": "ai-tracing"});
        let pairs = [("config.langfuse_enabled", "true")];
        assert_eq!(decode(&pairs, plugin::schema(), Some(&current)), json!({"config": {"langfuse_enabled": true}}));
        assert_eq!(decode(&pairs, plugin::schema(), None), json!({"config": {"langfuse_enabled": "true"}}));
    }

    #[test]
    fn lists_in_every_spelling() {
        let two = json!({"paths": ["/a", "/b"]});
        decodes(route::schema(), &[("paths[]", "/a"), ("paths[]", "/b")], two.clone());
        decodes(route::schema(), &[("paths", "/a"), ("paths", "/b")], two.clone());
        decodes(route::schema(), &[("paths[2]", "/b"), ("paths[1]", "/a")], two);
        decodes(route::schema(), &[("paths", "/a")], json!({"paths": ["/a"]}));
        decodes(route::schema(), &[("paths", "~/a{1,2}")], json!({"paths": ["~/a{1,2}"]}));
        decodes(route::schema(), &[("paths[2]", "/b")], json!({"paths": {"2": "/b"}}));
    }

    #[test]
    fn maps_of_lists() {
        decodes(
            route::schema(),
            &[("headers.x-version", "1"), ("headers.x-region[]", "eu"), ("headers.x-region[]", "us")],
            json!({"headers": {"x-version": ["1"], "x-region": ["eu", "us"]}}),
        );
    }

    #[test]
    fn an_empty_value_is_null() {
        decodes(
            service::schema(),
            &[("path", ""), ("tags", ""), ("retries", "")],
            json!({"path": null, "tags": null, "retries": null}),
        );
    }

    #[test]
    fn references_shorthands_and_booleans() {
        decodes(
            route::schema(),
            &[("service.id", "x"), ("strip_path", "false"), ("regex_priority", "7")],
            json!({"service": {"id": "x"}, "strip_path": false, "regex_priority": 7}),
        );
        decodes(service::schema(), &[("url", "http://a:1/b")], json!({"url": "http://a:1/b"}));
    }

    #[test]
    fn what_is_no_number_or_boolean_stays_text() {
        for text in ["NaN", "inf", "-inf", "1e999", "12x", "0x10", " 1"] {
            decodes(service::schema(), &[("retries", text)], json!({"retries": text}));
        }
        decodes(route::schema(), &[("strip_path", "yes")], json!({"strip_path": "yes"}));
    }

    #[test]
    fn odd_names_are_kept_for_the_schema_to_refuse() {
        for name in ["", ".", "a.", ".a", "a[", "a[x]", "a[0]", "a[99999999999]", "a[1]b", "[]", "a..b"] {
            decodes(service::schema(), &[(name, "1")], json!({name: "1"}));
        }
        let deep = vec!["a"; 17].join(".");
        decodes(service::schema(), &[(&deep, "1")], json!({deep.as_str(): "1"}));
    }

    #[test]
    fn what_does_not_fit_keeps_its_shape() {
        decodes(service::schema(), &[("host", "a"), ("host", "b")], json!({"host": ["a", "b"]}));
        decodes(service::schema(), &[("host.x", "a")], json!({"host": {"x": "a"}}));
        decodes(service::schema(), &[("host", "b"), ("host.x", "a")], json!({"host": {"x": "a"}}));
        decodes(route::schema(), &[("headers", "b"), ("headers.x", "a")], json!({"headers": "b"}));
        decodes(service::schema(), &[("other[1]", "a")], json!({"other": ["a"]}));
        decodes(service::schema(), &[("other[4000000000]", "a")], json!({"other": {"4000000000": "a"}}));
    }
}
