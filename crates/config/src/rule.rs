//! What holds for one value beyond its type, with Kong's messages.

use serde_json::Value;

use crate::typedefs::Typedef;

/// A constraint on one value.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Kong's `eq = null`: the field is known so that ordinary configurations load, but nothing can be set. With the
    /// message that says so.
    Null(&'static str),
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// One of these numbers.
    OneOfNumbers(&'static [i64]),
    /// More than this.
    Gt(i64),
    /// From the first to the second, both included.
    Between(f64, f64),
    /// At least this many bytes, elements or entries.
    LenMin(usize),
    /// At most this many bytes, elements or entries.
    LenMax(usize),
    /// The list holds all of these, with the message.
    ContainsAll(&'static [&'static str], &'static str),
    /// A named format.
    Is(Typedef),
}

impl Rule {
    /// Checks a value that is not null and has the field's type.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        match self {
            Self::Null(message) => Err((*message).to_owned()),
            Self::OneOf(options) => ensure(value.as_str().is_some_and(|text| options.contains(&text)), || {
                format!("expected one of: {}", options.join(", "))
            }),
            Self::OneOfNumbers(options) => {
                ensure(value.as_i64().is_some_and(|number| options.contains(&number)), || {
                    let options: Vec<_> = options.iter().map(i64::to_string).collect();
                    format!("expected one of: {}", options.join(", "))
                })
            }
            Self::Gt(limit) => ensure(value.as_f64().is_some_and(|number| number > *limit as f64), || {
                format!("value must be greater than {limit}")
            }),
            Self::Between(low, high) => {
                ensure(value.as_f64().is_some_and(|number| (*low..=*high).contains(&number)), || {
                    format!("value should be between {low} and {high}")
                })
            }
            Self::LenMin(limit) => ensure(length(value) >= *limit, || format!("length must be at least {limit}")),
            Self::LenMax(limit) => ensure(length(value) <= *limit, || format!("length must be at most {limit}")),
            Self::ContainsAll(wanted, message) => {
                let has = |wanted: &&str| value.as_array().is_some_and(|list| list.iter().any(|item| item == wanted));
                ensure(wanted.iter().all(has), || (*message).to_owned())
            }
            Self::Is(typedef) => typedef.check(value),
        }
    }
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

/// Kong counts a string's bytes.
fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => 0,
    }
}
