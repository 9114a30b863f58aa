//! Card numbers, together or in the groups that are printed: of a known network, of a length that it issues, with the
//! check digit of ISO/IEC 7812-1 (Luhn).
//!
//! Of other numbers of such length and beginning one in ten has that check digit too: those cannot be told apart.

use std::ops::Range;

use super::scan::{begins, digits_end, ends, gap, next_digit};

/// Networks: the first four digits (from, to), and lengths (from, to).
const NETWORKS: &[(u32, u32, usize, usize)] = &[
    // Visa.
    (4000, 4999, 13, 13),
    (4000, 4999, 16, 16),
    (4000, 4999, 19, 19),
    // Mastercard.
    (5100, 5599, 16, 16),
    (2221, 2720, 16, 16),
    // American Express.
    (3400, 3499, 15, 15),
    (3700, 3799, 15, 15),
    // Diners Club.
    (3000, 3059, 14, 19),
    (3095, 3095, 14, 19),
    (3600, 3699, 14, 19),
    (3800, 3999, 14, 19),
    // JCB.
    (3528, 3589, 16, 19),
    // Discover, RuPay, Elo and Troy among them.
    (6011, 6011, 16, 19),
    (6440, 6599, 16, 19),
    // UnionPay, RuPay.
    (6200, 6299, 16, 19),
    (8100, 8299, 16, 19),
    // Mir.
    (2200, 2204, 16, 19),
    // Maestro.
    (5018, 5018, 13, 19),
    (5020, 5020, 13, 19),
    (5038, 5038, 13, 19),
    (5893, 5893, 13, 19),
    (6304, 6304, 13, 19),
    (6759, 6759, 13, 19),
    (6761, 6763, 13, 19),
    // Verve, Elo, Hipercard, Troy, Uzcard, Humo, Dankort.
    (5060, 5067, 16, 19),
    (5090, 5090, 16, 16),
    (6062, 6062, 16, 19),
    (6362, 6370, 16, 16),
    (9792, 9792, 16, 16),
    (8600, 8600, 16, 16),
    (9860, 9860, 16, 16),
    (5019, 5019, 16, 16),
];

const LONGEST: usize = 19;

pub fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut start = from;
    loop {
        start = next_digit(bytes, start)?;
        let before = bytes.get(..start).unwrap_or_default();
        // The digits behind a point are a fraction's.
        let fraction = matches!(before, [.., b'0'..=b'9', b'.']);
        if !fraction
            && begins(bytes, start)
            && let Some(end) = end(bytes, start)
        {
            return Some(start..end);
        }
        start = digits_end(bytes, start);
    }
}

/// Where the number that begins at `start` ends: of several ends, the last.
fn end(bytes: &[u8], start: usize) -> Option<usize> {
    // The network shows in the first group: most numbers are no cards by that alone.
    let first = bytes.get(start..start + 4).filter(|first| first.iter().all(u8::is_ascii_digit))?;
    NETWORKS.iter().find(|(low, high, ..)| (*low..=*high).contains(&beginning(first)))?;
    let mut digits = Vec::with_capacity(LONGEST);
    let mut groups = Vec::with_capacity(LONGEST);
    let mut gap_bytes: &[u8] = &[];
    let mut at = start;
    let mut found = None;
    loop {
        let group_end = digits_end(bytes, at);
        let group = bytes.get(at..group_end)?;
        if group.is_empty() || digits.len() + group.len() > LONGEST {
            return found;
        }
        digits.extend_from_slice(group);
        groups.push(group.len());
        let fraction = matches!(bytes.get(group_end..), Some([b'.', b'0'..=b'9', ..]));
        if !fraction && ends(bytes, group_end) && is_printed(&groups) && is_issued(&digits) && has_check_digit(&digits)
        {
            found = Some(group_end);
        }
        let gap = bytes.get(group_end..group_end + gap(bytes, group_end))?;
        // One kind of gap in one number.
        if gap.is_empty() || groups.len() > 1 && gap != gap_bytes {
            return found;
        }
        gap_bytes = gap;
        at = group_end + gap.len();
    }
}

/// True for the groups that card numbers are written in.
fn is_printed(groups: &[usize]) -> bool {
    match groups {
        [_] | [4, 6, 4 | 5] | [4, 5, 6] | [4, 4, 5] | [6, 13] | [8, 8] => true,
        [first @ .., last] => first.iter().all(|digits| *digits == 4) && *last <= 4,
        [] => false,
    }
}

fn is_issued(digits: &[u8]) -> bool {
    let first = beginning(digits);
    NETWORKS
        .iter()
        .any(|(low, high, least, most)| (*low..=*high).contains(&first) && (*least..=*most).contains(&digits.len()))
}

/// The number that the first four digits are.
fn beginning(digits: &[u8]) -> u32 {
    digits.iter().take(4).fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// Luhn: every second digit from the right doubled, its own digits added.
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (u32::from(digit - b'0'), at % 2) {
            (digit, 0) => digit,
            (digit, _) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}
