//! A lenient JSON reader that borrows from its input.
//!
//! Bodies that pass a gateway are cut at limits, aborted by clients and written by servers with habits of their own. A
//! strict parser answers all of that with an error and nothing else; this one answers with what could be read and one
//! [`Problem`]. What `serde_json` writes it reads exactly (property-tested).
//!
//! What it tolerates: input that ends anywhere (open strings, arrays and objects are closed), leading white space and
//! byte order mark, lone surrogates (U+FFFD), raw control characters in strings, `NaN` and `Infinity` (read as null),
//! duplicate keys (the last wins), numbers of any size (kept as text until asked for). Reading stops at the first byte
//! that fits nothing.
//!
//! What the end of the input cuts is no value that was measured: a number, a word or a list of numbers is left out, a
//! string is a [`Json::CutString`], which is text but no name.
//!
//! Bounds: [`MAX_DEPTH`] levels (deeper values are skipped, read as null) and [`MAX_NODES`] values. Arrays that hold
//! only numbers, such as embedding vectors, are one node whatever their length, and copied only where they are few.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Number, Value};

mod reader;
#[cfg(test)]
mod tests;

pub use reader::parse;

/// Levels of nesting that are read. `serde_json` reads 128: what a record adds around a value has room.
pub const MAX_DEPTH: usize = 100;
/// Values that are read of one document.
pub const MAX_NODES: usize = 500_000;
/// Numbers of one array that [`Json::to_value`] copies; of more, it tells the count. All arrays of a document together
/// may have [`MAX_NODES`]: copied, a digit and its comma take sixteen times their size.
pub const MAX_NUMBERS: usize = 4096;
/// Longest name (model, role, id, finish reason) in bytes; what is longer is cut, no such thing is.
const MAX_NAME: usize = 1024;

/// A JSON value that borrows from the text it was read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`, and whatever could not be read.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// What there is of a string that the end of the input, or a byte that fits nothing, cuts.
    CutString(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// A non-empty array of nothing but numbers: their count and the text between the brackets; no text where there are
    /// too many to be copied.
    Numbers(usize, &'a str),
    /// An object, in the order of the text.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Why a document was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The input ended inside a value.
    Truncated,
    /// The byte at this offset fits nothing.
    Invalid(usize),
    /// Some values were nested deeper than [`MAX_DEPTH`]; they were skipped.
    TooDeep,
    /// There were more than [`MAX_NODES`] values; the rest was not read.
    TooMany,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("JSON ends early"),
            Self::Invalid(offset) => write!(f, "invalid JSON at byte {offset}"),
            Self::TooDeep => write!(f, "JSON nested deeper than {MAX_DEPTH} levels"),
            Self::TooMany => write!(f, "JSON of more than {MAX_NODES} values"),
        }
    }
}

/// What was read.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The value; [`Json::Null`] when there was nothing.
    pub value: Json<'a>,
    /// The first thing that was wrong.
    pub problem: Option<Problem>,
}

/// Bytes as text: borrowed where they are UTF-8, else with U+FFFD in place of what is not. A character that the end cuts
/// is left out: that is no bad byte, there is just no more of it.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    // The rule, and several times faster than looking for what to replace.
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let cut = (1..=3.min(bytes.len())).find_map(|length| {
        let (whole, last) = bytes.split_at(bytes.len() - length);
        match std::str::from_utf8(last) {
            Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => Some(whole),
            _ => None,
        }
    });
    String::from_utf8_lossy(cut.unwrap_or(bytes))
}

static NULL: Json<'static> = Json::Null;

impl<'a> Json<'a> {
    /// The member `key` of an object; null where there is none. The last of duplicates.
    pub fn get<'s>(&'s self, key: &str) -> &'s Json<'a> {
        match self {
            Json::Object(members) => {
                members.iter().rev().find(|(name, _)| name == key).map_or(&NULL, |(_, value)| value)
            }
            _ => &NULL,
        }
    }

    /// The items of an array; none for anything else.
    pub fn items(&self) -> &[Json<'a>] {
        match self {
            Json::Array(items) => items,
            _ => &[],
        }
    }

    /// The members of an object; none for anything else.
    pub fn members(&self) -> &[(Cow<'a, str>, Json<'a>)] {
        match self {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    /// True for null and absent.
    pub fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    /// True for objects.
    pub fn is_object(&self) -> bool {
        matches!(self, Json::Object(_))
    }

    /// The number of items, where it is an array.
    pub fn count_items(&self) -> Option<usize> {
        match self {
            Json::Array(items) => Some(items.len()),
            Json::Numbers(count, _) => Some(*count),
            _ => None,
        }
    }

    /// A string, or what there is of it.
    pub fn str(&self) -> Option<&str> {
        match self {
            Json::String(text) | Json::CutString(text) => Some(text),
            _ => None,
        }
    }

    /// A string that says something, or what there is of it.
    pub fn filled(&self) -> Option<&str> {
        self.str().filter(|text| !text.is_empty())
    }

    /// A name: a non-empty string that is whole. At most 1 KiB of it.
    pub fn word(&self) -> Option<String> {
        match self {
            Json::String(text) if !text.is_empty() => Some(name(text)),
            _ => None,
        }
    }

    /// A [`Self::word`], or a number as written: ids come as either.
    pub fn id(&self) -> Option<String> {
        match self {
            Json::Number(raw) => Some(name(raw)),
            other => other.word(),
        }
    }

    /// A boolean.
    pub fn bool(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A finite number, also when written as a string.
    pub fn f64(&self) -> Option<f64> {
        match self {
            Json::Number(raw) => raw.parse().ok(),
            Json::String(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }

    /// A whole number, also when written as a float (`12.0`) or a string.
    pub fn i64(&self) -> Option<i64> {
        let raw = match self {
            Json::Number(raw) => raw,
            Json::String(text) => text.trim(),
            _ => return None,
        };
        raw.parse().ok().or_else(|| {
            let number = self.f64()?;
            (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
        })
    }

    /// A count: a whole number that is not negative.
    pub fn count(&self) -> Option<u64> {
        self.i64().and_then(|number| u64::try_from(number).ok())
    }

    /// An owned copy. Numbers beyond `f64` become strings; arrays of more than [`MAX_NUMBERS`] become
    /// `{"numbers": count}`.
    pub fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(raw) => number(raw),
            Json::String(text) | Json::CutString(text) => Value::String(text.to_string()),
            Json::Array(items) => items.iter().map(Json::to_value).collect(),
            Json::Numbers(count, "") => serde_json::json!({ "numbers": count }),
            Json::Numbers(_, raw) => raw.split(',').map(|raw| number(raw.trim())).collect(),
            Json::Object(members) => {
                let members = members.iter().map(|(key, value)| (key.to_string(), value.to_value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

fn name(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_NAME)).unwrap_or(text).to_owned()
}

fn number(raw: &str) -> Value {
    if let Ok(number) = raw.parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = raw.parse::<u64>() {
        return number.into();
    }
    let float = raw.parse::<f64>().ok().and_then(Number::from_f64);
    float.map_or_else(|| Value::String(raw.to_owned()), Value::Number)
}
