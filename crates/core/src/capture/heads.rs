//! All headers of a head, for hosts that keep exchanges: copied once, into one buffer. What is secret in them is hidden
//! when the exchange is read.

use super::Headers;
use crate::http::{MAX_FIELDS, MAX_HEAD};

/// Room that is made at first; most heads fit in.
const BYTES: usize = 1 << 10;
const FIELDS: usize = 24;

/// Names and values as they came.
#[derive(Debug)]
pub struct RawHead {
    /// One after the other, without anything in between.
    text: Vec<u8>,
    /// Where each name and its value end in `text`.
    ends: Vec<(usize, usize)>,
    left_out: u64,
}

impl RawHead {
    pub(super) fn of(headers: &dyn Headers) -> Self {
        let mut head = Self { text: Vec::with_capacity(BYTES), ends: Vec::with_capacity(FIELDS), left_out: 0 };
        headers.each(&mut |name, value| head.push(name, value));
        head
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        if self.ends.len() == MAX_FIELDS || self.text.len() + name.len() + value.len() > MAX_HEAD {
            self.left_out += 1;
            return;
        }
        self.text.extend_from_slice(name);
        let end = self.text.len();
        self.text.extend_from_slice(value);
        self.ends.push((end, self.text.len()));
    }

    /// Names and values in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(name, value)| {
            let field = (self.text.get(start..name), self.text.get(name..value));
            start = value;
            (field.0.unwrap_or_default(), field.1.unwrap_or_default())
        })
    }

    /// Headers that were too many or too long.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(super) fn weight(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<(usize, usize)>()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    struct Many(usize, usize);

    impl Headers for Many {
        fn get(&self, _: &str) -> Option<Cow<'_, str>> {
            None
        }

        fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
            (0..self.0).for_each(|index| see(format!("x-{index}").as_bytes(), &vec![b'v'; self.1]));
        }
    }

    #[test]
    fn a_head_is_kept_within_bounds() {
        let head = RawHead::of(&Many(300, 10));
        assert_eq!((head.fields().count(), head.left_out()), (200, 100));
        assert_eq!(head.fields().nth(7), Some((b"x-7".as_slice(), b"vvvvvvvvvv".as_slice())));
        let head = RawHead::of(&Many(5, 20_000));
        assert_eq!((head.fields().count(), head.left_out()), (3, 2));
        assert!(head.weight() >= 60_000);
    }
}
