//! A schema as the Admin API shows it: what Kong answers to `GET /schemas/…`.

use serde_json::{Map, Value, json};

use crate::rule::Rule;
use crate::schema::{Check, Field, Kind, Record, Schema};
use crate::typedefs::Typedef;

impl Schema {
    /// `{"fields": [{name: definition}, …], "entity_checks": […]}`, in Kong's attributes.
    pub fn to_kong_json(&self) -> Value {
        json!({"fields": self.record.fields_json(), "entity_checks": self.record.checks_json()})
    }
}

impl Record {
    pub(crate) fn fields_json(&self) -> Value {
        self.fields.iter().map(|(name, field)| field.named_json(name)).collect()
    }

    pub(crate) fn checks_json(&self) -> Value {
        self.checks.iter().map(Check::to_kong_json).collect()
    }
}

impl Field {
    /// What this field's attributes of the same name describe.
    pub(crate) fn inner(&self) -> Vec<(&'static str, &Self)> {
        match &self.kind {
            Kind::Array(element) | Kind::Set(element) => vec![("elements", element)],
            Kind::Map { keys, values } => vec![("keys", keys), ("values", values)],
            _ => Vec::new(),
        }
    }

    /// The record inside.
    pub(crate) fn record(&self) -> Option<&Record> {
        match &self.kind {
            Kind::Record(record) => Some(record),
            _ => None,
        }
    }

    /// `{name: definition}`, the form in which Kong lists fields.
    pub(crate) fn named_json(&self, name: &str) -> Value {
        json!({name: self.to_kong_json()})
    }

    pub(crate) fn to_kong_json(&self) -> Value {
        let mut out = Map::new();
        let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
        set("type", self.kind.kong_name().into());
        if self.required {
            set("required", true.into());
        }
        if let Some(default) = &self.default {
            set("default", default.clone());
        }
        if !self.description.is_empty() {
            set("description", self.description.into());
        }
        for (name, flag) in [
            ("encrypted", self.encrypted),
            ("referenceable", self.referenceable),
            ("unique", self.unique),
            ("auto", self.auto.is_some()),
        ] {
            if flag {
                set(name, true.into());
            }
        }
        for (name, inner) in self.inner() {
            set(name, inner.to_kong_json());
        }
        if let Some(record) = self.record() {
            set("fields", record.fields_json());
            if !record.checks.is_empty() {
                set("entity_checks", record.checks_json());
            }
        }
        match &self.kind {
            Kind::Foreign(collection) => set("reference", (*collection).into()),
            Kind::Any => set("abstract", true.into()),
            _ => None,
        };
        for rule in &self.rules {
            for (name, value) in rule.to_kong_json() {
                set(name, value);
            }
        }
        Value::Object(out)
    }
}

impl Kind {
    /// Kong's name of the type.
    pub fn kong_name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Array(_) => "array",
            Self::Set(_) => "set",
            Self::Map { .. } => "map",
            // Kong has no type for a field described elsewhere: it is an abstract record.
            Self::Record(_) | Self::Any => "record",
            Self::Foreign(_) => "foreign",
        }
    }
}

impl Rule {
    fn to_kong_json(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Null(message) => vec![("eq", Value::Null), ("err", (*message).into())],
            Self::OneOf(options) => vec![("one_of", json!(options))],
            Self::OneOfNumbers(options) => vec![("one_of", json!(options))],
            Self::Gt(limit) => vec![("gt", (*limit).into())],
            Self::Between(low, high) => vec![("between", json!([plain(*low), plain(*high)]))],
            Self::LenMin(length) => vec![("len_min", (*length).into())],
            Self::LenMax(length) => vec![("len_max", (*length).into())],
            // Kong would need a function for it, and leaves functions out of this answer.
            Self::ContainsAll(..) => Vec::new(),
            Self::Is(typedef) => typedef.to_kong_json(),
        }
    }
}

impl Typedef {
    /// Attributes in Lua's patterns. What Kong checks by a function it leaves out of this answer.
    fn to_kong_json(self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Uuid => vec![("uuid", true.into())],
            Self::Timestamp => vec![("timestamp", true.into())],
            Self::HttpMethod => vec![("match", "^%u+$".into())],
            Self::Path => vec![
                ("starts_with", "/".into()),
                ("match_none", json!([{"pattern": "//", "err": "must not have empty segments"}])),
            ],
            Self::RoutePath => vec![
                ("match_none", json!([{"pattern": "//", "err": "must not have empty segments"}])),
                (
                    "match_any",
                    json!({"patterns": ["^/", "^~/"], "err": "should start with: / (fixed path) or ~/ (regex path)"}),
                ),
            ],
            Self::RouteHost => vec![
                (
                    "match_all",
                    json!([{"pattern": "^[^*]*%*?[^*]*$", "err": "invalid wildcard: must have at most one wildcard"}]),
                ),
                (
                    "match_any",
                    json!({
                        "patterns": ["^%*%.", "%.%*$", "^[^*]*$"],
                        "err": "invalid wildcard: must be placed at leftmost or rightmost label",
                    }),
                ),
            ],
            Self::RouteHeaderName => vec![(
                "match_none",
                json!([{
                    "pattern": "^[Hh][Oo][Ss][Tt]$",
                    "err": "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
                }]),
            )],
            // The value itself, which Kong would repeat, may carry a password.
            Self::HttpUrl => vec![
                ("match", "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@%s]+[^#@%s]*$".into()),
                ("err", "expected an http or https URL without credentials".into()),
            ],
            Self::Regex => vec![("is_regex", true.into())],
            Self::PathPattern => {
                vec![(
                    "match_any",
                    json!({"patterns": ["^/", "^%*"], "err": "should start with: / (prefix) or * (suffix)"}),
                )]
            }
            Self::HostPattern => vec![("match", "^%*?%.?[%w%._-]+$".into())],
            Self::HeaderPattern => vec![(
                "match_any",
                json!({"patterns": ["^%s*[%w_-]+%s*$", "^%s*[%w_-]+%s*:"], "err": "should be: name, or name: value"}),
            )],
            Self::Name | Self::Tag | Self::Host | Self::HeaderName => Vec::new(),
        }
    }
}

impl Check {
    pub(crate) fn to_kong_json(&self) -> Value {
        match self {
            Self::RequiredIf { field, when, is } => json!({"conditional": {
                "if_field": when, "if_match": {"eq": is},
                "then_field": field, "then_match": {"required": true},
            }}),
            Self::NullUnless { field, when, one_of } => json!({"conditional": {
                "if_field": when, "if_match": {"not_one_of": one_of},
                "then_field": field, "then_match": {"eq": null},
            }}),
            Self::AtLeastOneOf(names) => json!({"at_least_one_of": names}),
            Self::AtLeastOneOfIf { when, cases } => {
                let mut check = json!({"if_field": when});
                let keys = [
                    ("if_match", "then_at_least_one_of", "then_err"),
                    ("else_match", "else_then_at_least_one_of", "else_then_err"),
                ];
                if let Some(check) = check.as_object_mut() {
                    for ((value, names, message), (matches, fields, err)) in cases.iter().zip(keys) {
                        check.insert(matches.to_owned(), json!({"contains": value}));
                        check.insert(fields.to_owned(), json!(names));
                        check.insert(err.to_owned(), json!(message));
                    }
                }
                json!({"conditional_at_least_one_of": check})
            }
        }
    }
}

/// Whole numbers without a fraction: `[0, 65535]`, not `[0.0, 65535.0]`.
fn plain(number: f64) -> Value {
    #[allow(clippy::cast_possible_truncation)] // limits in schemas are small
    if number.fract() == 0.0 { (number as i64).into() } else { number.into() }
}
