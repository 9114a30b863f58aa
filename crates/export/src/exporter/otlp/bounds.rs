//! What keeps a span within bounds, and clean: values are cut at a character, lists in the middle, and JSON stays JSON.

use serde_json::Value;

use crate::exporter::clean::cleaned;

/// Bounds of one span's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of one value.
    pub value: usize,
    /// Entries of a list that is spread over attributes: messages, choices, tool calls of one message, tools.
    pub items: usize,
}

/// From what is sent as a rule to what fits into any request; a span that is too large is tried with the next one.
pub(super) const BOUNDS: [Bounds; 6] = [
    Bounds { value: 1 << 20, items: 128 },
    Bounds { value: 256 << 10, items: 128 },
    Bounds { value: 64 << 10, items: 128 },
    Bounds { value: 16 << 10, items: 64 },
    Bounds { value: 4 << 10, items: 16 },
    Bounds { value: 512, items: 4 },
];

/// What is worth keeping of a text within JSON; below that, entries are left out instead.
const SHORTEST: usize = 64;

/// The beginning of a text, at most `max` bytes of it, cut between characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// Which of `len` entries are kept: all, or the first quarter and the last of them, which say most.
pub(super) fn picked(len: usize, items: usize) -> impl Iterator<Item = usize> {
    let head = if len <= items { len } else { items / 4 };
    let tail = if len <= items { 0 } else { items - head };
    (0..head).chain(len - tail..len)
}

/// Makes JSON within bounds, and notes whether it had to leave anything out.
pub(super) struct Cutter {
    pub bounds: Bounds,
    pub has_cut: bool,
}

impl Cutter {
    /// A text, or its beginning.
    pub fn text(&mut self, text: &str) -> String {
        let kept = cut(text, self.bounds.value);
        self.has_cut |= kept.len() < text.len();
        cleaned(kept)
    }

    /// The entries that are kept.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> impl Iterator<Item = &'a T> + use<'a, T> {
        self.has_cut |= all.len() > self.bounds.items;
        picked(all.len(), self.bounds.items).filter_map(|index| all.get(index))
    }

    /// A value whose texts are cut.
    pub fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (self.text(key), self.value(value))).collect(),
            scalar => scalar.clone(),
        }
    }
}

/// JSON text of at most `bounds.value` bytes, and whether anything is missing. Texts are halved until it fits, then
/// lists; what fits in no way is left out as a whole. `make` says `None` where there is nothing to tell.
pub(super) fn json_text(bounds: Bounds, make: impl Fn(&mut Cutter) -> Option<Value>) -> (Option<String>, bool) {
    let mut tried = bounds;
    loop {
        let mut cutter = Cutter { bounds: tried, has_cut: false };
        let Some(value) = make(&mut cutter) else { return (None, false) };
        let text = serde_json::to_string(&value).unwrap_or_default();
        if text.len() <= bounds.value {
            return (Some(text), cutter.has_cut);
        }
        if tried.value > SHORTEST {
            // Where no text was that long, the next half would do little.
            tried.value /= if cutter.has_cut { 2 } else { 8 };
        } else if tried.items > 1 {
            tried.items /= 2;
        } else {
            return (None, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!((cut("grüße", 3), cut("grüße", 4), cut("grüße", 99), cut("🌍", 3)), ("gr", "grü", "grüße", ""));
    }

    #[test]
    fn long_lists_keep_their_ends() {
        assert_eq!(picked(3, 4).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(picked(10, 4).collect::<Vec<_>>(), [0, 7, 8, 9]);
        assert_eq!(picked(5, 1).collect::<Vec<_>>(), [4]);
        assert_eq!(picked(0, 4).count(), 0);
    }

    #[test]
    fn json_stays_json_and_within_its_bound() {
        let bounds = Bounds { value: 1000, items: 8 };
        let long = json!({"a": "x".repeat(700), "b": ["ü".repeat(700), 1]});
        let (text, has_cut) = json_text(bounds, |cutter| Some(cutter.value(&long)));
        let text = text.unwrap();
        let back: Value = serde_json::from_str(&text).unwrap();
        assert!(has_cut && text.len() <= 1000 && back["a"].as_str().unwrap().len() == 250, "{text}");

        let many: Vec<String> = (0..100).map(|n| format!("{n}{}", "y".repeat(200))).collect();
        let list = |cutter: &mut Cutter| {
            let picked: Vec<_> = cutter.pick(&many).collect();
            Some(picked.into_iter().map(|text| Value::from(cutter.text(text))).collect())
        };
        let (text, has_cut) = json_text(Bounds { value: 300, items: 50 }, list);
        let back: Vec<String> = serde_json::from_str(&text.unwrap()).unwrap();
        assert!(has_cut && back.last().unwrap().starts_with("99"));

        let numbers = json!(vec![1; 10_000]);
        assert_eq!(json_text(bounds, |cutter| Some(cutter.value(&numbers))), (None, true));
        assert_eq!(json_text(bounds, |_| None), (None, false));
    }
}
