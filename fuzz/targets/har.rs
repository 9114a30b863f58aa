//! The HAR reader of `ai-tracing inspect`: any pieces of the same file give the same entries, and every entry can be
//! played.
#![no_main]

#[path = "../../crates/core/tests/fuzz_targets/mod.rs"]
mod fuzz_targets;
#[allow(dead_code, unused_imports)]
#[path = "../../crates/gateway/src/har/mod.rs"]
mod har;

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use ai_tracing_core::settings::Settings;

/// A reader that has no more than a piece at a time.
struct Pieces<'a>(Vec<&'a [u8]>);

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.0.len() > 1 && self.0[0].is_empty() {
            self.0.remove(0);
        }
        Ok(self.0.first().copied().unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        if let Some(piece) = self.0.first_mut() {
            *piece = &piece[amount..];
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}

/// The entries, and what ended them.
fn entries(input: impl BufRead) -> (Vec<har::Entry>, String) {
    let mut entries = Vec::new();
    let mut har = match har::Har::new(input) {
        Ok(har) => har,
        Err(error) => return (entries, error.to_string()),
    };
    loop {
        match har.next_entry() {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => return (entries, String::new()),
            Err(error) => return (entries, error.to_string()),
        }
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&choice, file)) = input.split_first() else { return };
    let (whole, end) = entries(file);
    let (pieces, same_end) = entries(Pieces(fuzz_targets::pieces(choice, file)));
    assert_eq!((pieces, same_end), (whole.clone(), end));
    let settings = Arc::new(Settings { estimate_tokens: false, ..Settings::default() });
    for (index, entry) in whole.iter().enumerate() {
        assert!(!har::replay(&settings, entry, index as u64, "fuzz", true).defect);
    }
});
