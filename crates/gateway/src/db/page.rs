//! Lists a page at a time, as Kong does: by id, from where the last page ended.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use super::error::Refusal;

/// What a page is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Paging {
    /// Entries in a page, 1 to 1000.
    pub size: usize,
    /// The key after which the page begins.
    pub after: Option<Key>,
}

/// What entries are in order of: an id, and a count within it where an id has several entries.
pub type Key = (String, u64);

/// A page.
#[derive(Default, Clone, Debug, PartialEq)]
pub struct Page {
    /// Its entries.
    pub data: Vec<Value>,
    /// Where the next one begins; `None`: this is the last.
    pub offset: Option<String>,
}

impl Paging {
    const DEFAULT_SIZE: usize = 100;
    const MAX_SIZE: usize = 1000;

    /// Reads the `size` and `offset` of a query.
    pub fn parse(size: Option<&str>, offset: Option<&str>) -> Result<Self, Refusal> {
        let size = match size {
            None => Self::DEFAULT_SIZE,
            Some(size) => {
                let size: f64 = size.trim().parse().map_err(|_| Refusal::size("size must be a number"))?;
                let whole = size as usize; // saturates; NaN becomes 0
                if whole as f64 != size || !(1..=Self::MAX_SIZE).contains(&whole) {
                    let why = format!("size must be an integer between 1 and {}", Self::MAX_SIZE);
                    return Err(Refusal::size(&why));
                }
                whole
            }
        };
        let after = offset.map(decode).transpose()?;
        Ok(Self { size, after })
    }

    /// The page of `entries`, which come in order of their keys.
    pub fn page(&self, entries: impl Iterator<Item = (Key, Value)>) -> Page {
        let mut entries = entries.filter(|(key, _)| self.after.as_ref().is_none_or(|after| key > after)).peekable();
        let mut data = Vec::new();
        let mut last = None;
        while data.len() < self.size
            && let Some((key, entry)) = entries.next()
        {
            data.push(entry);
            last = Some(key);
        }
        let offset = last.filter(|_| entries.peek().is_some()).map(encode);
        Page { data, offset }
    }
}

fn encode((id, count): Key) -> String {
    let key = if count == 0 { json!([id]) } else { json!([id, count]) };
    STANDARD_NO_PAD.encode(key.to_string())
}

fn decode(offset: &str) -> Result<Key, Refusal> {
    let bytes = STANDARD_NO_PAD.decode(offset).map_err(|_| Refusal::offset(offset, "bad base64 encoding"))?;
    let key: Option<Vec<Value>> = serde_json::from_slice(&bytes).ok();
    match key.as_deref() {
        Some([Value::String(id)]) => Ok((id.clone(), 0)),
        Some([Value::String(id), count]) if count.is_u64() => Ok((id.clone(), count.as_u64().unwrap_or_default())),
        _ => Err(Refusal::offset(offset, "bad json encoding")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> impl Iterator<Item = (Key, Value)> {
        ["a", "b", "c"].into_iter().map(|id| ((id.to_owned(), 0), json!(id)))
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let first = Paging::parse(Some("2"), None).unwrap().page(entries());
        assert_eq!(first.data, [json!("a"), json!("b")]);
        let second = Paging::parse(Some("2"), first.offset.as_deref()).unwrap().page(entries());
        assert_eq!(second, Page { data: vec![json!("c")], offset: None });
        let whole = Paging::parse(Some("3"), None).unwrap().page(entries());
        assert_eq!((whole.data.len(), whole.offset), (3, None), "no empty page at the end");
    }

    #[test]
    fn sizes_and_offsets_are_refused_in_kongs_words() {
        let cases = [
            (Some("x"), None, "size must be a number"),
            (Some("0"), None, "size must be an integer between 1 and 1000"),
            (Some("1001"), None, "size must be an integer between 1 and 1000"),
            (Some("1.5"), None, "size must be an integer between 1 and 1000"),
            (Some("nan"), None, "size must be an integer between 1 and 1000"),
            (None, Some("x"), "'x' is not a valid offset: bad base64 encoding"),
            (None, Some("eHg"), "'eHg' is not a valid offset: bad json encoding"),
        ];
        for (size, offset, message) in cases {
            assert_eq!(Paging::parse(size, offset).unwrap_err().message, message);
        }
    }
}
