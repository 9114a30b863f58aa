//! What the searches share: the next digit, and where a word begins and ends.

/// Bytes that are looked at together: the compiler makes vector instructions of it.
const BLOCK: usize = 32;

/// The first ASCII digit at or after `from`.
pub fn next_digit(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let mut skipped = 0;
    for block in rest.chunks(BLOCK) {
        if block.iter().fold(false, |any, byte| any | byte.is_ascii_digit()) {
            return block.iter().position(u8::is_ascii_digit).map(|at| from + skipped + at);
        }
        skipped += block.len();
    }
    None
}

/// Where the run of digits at `from` ends.
pub fn digits_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
}

/// True where a word may begin: no letter, digit or `_` in front, or one that belongs to an escape such as `\n`.
pub fn begins(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    !before.last().is_some_and(|byte| is_word(*byte)) || escape(before) > 0
}

/// True where a word may end: no letter, digit or `_` behind.
pub fn ends(bytes: &[u8], at: usize) -> bool {
    !bytes.get(at).is_some_and(|byte| is_word(*byte))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Bytes of the escape that `before` ends with: JSON and source code stand in prose as well.
pub fn escape(before: &[u8]) -> usize {
    match before {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => 2,
        [.., b'\\', b'u', a, b, c, d] if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit) => 6,
        _ => 0,
    }
}

/// Bytes of the space or hyphen between groups of digits at `at`; 0 where there is none.
pub fn gap(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..).unwrap_or_default() {
        [b' ' | b'-', ..] => 1,
        // A space that does not break.
        [0xC2, 0xA0, ..] => 2,
        _ => 0,
    }
}
