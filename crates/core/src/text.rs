//! Bytes as text.

use std::borrow::Cow;

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

/// Appends [`hex`]. Each call asks for it while its request waits: by hand it takes a fraction of what `format!` does.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' - 10 + half });
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
}

/// Text; bytes that are no UTF-8 are replaced. Nearly none has any, which is found out faster than by
/// [`String::from_utf8_lossy`] alone.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
