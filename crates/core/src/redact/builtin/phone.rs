//! Phone numbers.
//!
//! A number is taken for one when it has a form that others do not have: `+` or `00` and a country code that is assigned
//! (ITU-T E.164), the North American form with hyphens, points or brackets, a national form that begins with 0 and stands in
//! groups; or when a word such as "phone" stands in front of it.

use std::ops::Range;

use super::scan::{begins, digits_end, ends, next_digit};

/// Country codes of one digit, of two, and the beginnings of those of three.
const TWO: [u8; 43] = [
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 62,
    63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95,
];
const THREE: [u8; 17] = [21, 22, 23, 24, 25, 26, 29, 35, 37, 38, 42, 50, 59, 67, 68, 85, 96];
const MORE: [u8; 4] = [98, 88, 97, 99];

/// Words that announce a number, and those that may stand between.
const ANNOUNCE: [&str; 28] = [
    "phone",
    "telephone",
    "tel",
    "mobile",
    "cellphone",
    "fax",
    "whatsapp",
    "telefon",
    "telefonnummer",
    "rufnummer",
    "handy",
    "handynummer",
    "mobil",
    "mobilnummer",
    "téléphone",
    "telephon",
    "portable",
    "teléfono",
    "telefono",
    "móvil",
    "celular",
    "cellulare",
    "telefone",
    "telemóvel",
    "telefoon",
    "телефон",
    "тел",
    "phonenumber",
];
/// The same in scripts without spaces between words.
const ANNOUNCE_AT_END: [&str; 7] = ["电话", "電話", "手机", "手機", "携帯", "전화", "電話番号"];
const BETWEEN: [&str; 14] =
    ["number", "no", "nr", "num", "nummer", "numéro", "numero", "número", "is", "ist", "est", "es", "номер", "at"];

/// Bytes of what stands in front that are looked at.
const CONTEXT: usize = 48;
/// Digits of the longest number (E.164), and groups that one has at most.
const FEWEST_DIGITS: usize = 7;
const MOST_DIGITS: usize = 15;
const MOST_GROUPS: usize = 8;

pub fn find(before: &str, text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        at = next_digit(bytes, at)?;
        let mut start = at;
        while start > from && at - start < 2 && matches!(bytes.get(start - 1), Some(b'+' | b'(')) {
            start -= 1;
        }
        if stands_alone(bytes, start)
            && let Some(end) = Number::read(bytes, start, at).end(before, text)
        {
            // `(+49 30 1234567)`: the bracket is closed behind the number.
            let within = bytes.get(start..end).unwrap_or_default();
            let open = within.first() == Some(&b'(') && !within.contains(&b')');
            return Some(start + usize::from(open)..end);
        }
        at = digits_end(bytes, at);
    }
}

/// True where a number may begin, and not the rest of something else.
fn stands_alone(bytes: &[u8], start: usize) -> bool {
    let before = bytes.get(..start).unwrap_or_default();
    begins(bytes, start)
        && match before {
            [.., previous, b'-' | b'/'] => !previous.is_ascii_alphanumeric(),
            [.., b'0'..=b'9', b'.' | b':' | b','] => false,
            [.., b'#' | b'$' | b'+'] => false,
            // The yen, pound and euro signs.
            [.., 0xC2, 0xA3 | 0xA5] | [.., 0xE2, 0x82, 0xAC] => false,
            _ => true,
        }
}

/// Digits in groups.
struct Number<'a> {
    bytes: &'a [u8],
    start: usize,
    groups: Vec<Group>,
}

struct Group {
    start: usize,
    end: usize,
    /// What stands between it and the next one; `None`: none follows.
    gap: Option<Gap>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    Space,
    Hyphen,
    Point,
    Slash,
    /// With a bracket.
    Bracket,
}

impl<'a> Number<'a> {
    fn read(bytes: &'a [u8], start: usize, mut at: usize) -> Self {
        let mut groups = Vec::with_capacity(MOST_GROUPS);
        let mut digits = 0;
        loop {
            let end = digits_end(bytes, at);
            digits += end - at;
            let (gap, next) = gap(bytes, end);
            groups.push(Group { start: at, end, gap });
            if gap.is_none() || digits > MOST_DIGITS + 2 || groups.len() > MOST_GROUPS {
                return Self { bytes, start, groups };
            }
            at = next;
        }
    }

    /// Where the phone number ends, if it is one: the longest.
    fn end(&self, before: &str, text: &str) -> Option<usize> {
        let (first, last) = (self.groups.first()?, self.groups.last()?);
        // Most numbers are too short, and most of the others are in one group.
        if last.end - first.start < FEWEST_DIGITS {
            return None;
        }
        let announced = || announced(before, text.get(..self.start).unwrap_or_default());
        let spaced = self.start.checked_sub(2).and_then(|at| self.bytes.get(at..self.start));
        let in_a_row = matches!(spaced, Some([b'0'..=b'9', b' ']));
        let mut told = None;
        let digits: Vec<u8> = self.groups.iter().flat_map(|group| self.digits(group)).copied().collect();
        let mut total = digits.len();
        for count in (1..=self.groups.len()).rev() {
            let groups = self.groups.get(..count)?;
            let (last, inner) = groups.split_last()?;
            let digits = digits.get(..total)?;
            total -= last.end - last.start;
            if digits.len() > MOST_DIGITS + 2 || !self.may_end(last) {
                continue;
            }
            let whole =
                last.gap.is_none() || inner.iter().all(|group| matches!(group.gap, Some(Gap::Hyphen | Gap::Slash)));
            if self.is_international(groups, digits)
                || self.is_american(groups, digits)
                || self.is_bracketed(groups)
                || whole && !in_a_row && is_national(groups, digits)
                || (FEWEST_DIGITS..=MOST_DIGITS).contains(&digits.len())
                    && !is_date(groups, digits)
                    && *told.get_or_insert_with(announced)
            {
                return Some(last.end);
            }
        }
        None
    }

    fn digits(&self, group: &Group) -> &'a [u8] {
        self.bytes.get(group.start..group.end).unwrap_or_default()
    }

    /// True where nothing follows that would make it a part of something else.
    fn may_end(&self, last: &Group) -> bool {
        let behind = self.bytes.get(last.end..).unwrap_or_default();
        ends(self.bytes, last.end)
            && matches!(last.gap, None | Some(Gap::Space))
            && !matches!(behind, [b':' | b',' | b'.' | b'-' | b'/', b'0'..=b'9', ..] | [b'-' | b'/', b'a'..=b'z' | b'A'..=b'Z', ..])
            && !matches!(behind, [b'%' | b'$', ..] | [0xE2, 0x82, 0xAC, ..])
    }

    /// `+49 30 1234567`, `0049 30 1234567`.
    fn is_international(&self, groups: &[Group], digits: &[u8]) -> bool {
        let plus = self.bytes.get(self.start..self.start + 2).unwrap_or_default();
        let number = if plus.contains(&b'+') {
            digits
        } else if groups.len() > 1
            && groups.first().is_some_and(|group| matches!(self.digits(group), [b'0', b'0', b'1'..=b'9', ..]))
            && groups.iter().all(|group| group.gap != Some(Gap::Point))
            && let Some(rest) = digits.strip_prefix(b"00")
        {
            rest
        } else {
            return false;
        };
        let round = number.len() > 6 && number.ends_with(b"00000");
        (9..=MOST_DIGITS).contains(&number.len()) && !round && has_country(number)
    }

    /// `(415) 555-0134`, `415-555-0134`, `415.555.0134`, `1-415-555-0134`.
    fn is_american(&self, groups: &[Group], digits: &[u8]) -> bool {
        let groups = match groups {
            [one, rest @ ..] if rest.len() == 3 && self.digits(one) == b"1" => rest,
            all => all,
        };
        let [area, exchange, line] = groups else { return false };
        let lengths = [area, exchange, line].map(|group| group.end - group.start);
        let told = match (area.gap, exchange.gap) {
            (Some(Gap::Bracket), _) => true,
            (first, second) => first == second && matches!(first, Some(Gap::Hyphen | Gap::Point)),
        };
        let ten = digits.len().checked_sub(10).and_then(|at| digits.get(at..)).unwrap_or_default();
        lengths == [3, 3, 4] && told && is_american(ten)
    }

    /// `(030) 1234567`, `(11) 98765-4321`: an area in brackets.
    fn is_bracketed(&self, groups: &[Group]) -> bool {
        let [area, rest @ ..] = groups else { return false };
        let digits: usize = groups.iter().map(|group| group.end - group.start).sum();
        let local = digits - (area.end - area.start);
        let zero = self.digits(area).first() == Some(&b'0');
        let fits = if zero { (9..=12).contains(&digits) } else { (10..=11).contains(&digits) && rest.len() == 2 };
        self.bytes.get(self.start) == Some(&b'(')
            && area.gap == Some(Gap::Bracket)
            && (2..=5).contains(&(area.end - area.start))
            && (1..=4).contains(&rest.len())
            && local >= 5
            && fits
    }
}

/// What stands between two groups of digits, and where the second begins.
fn gap(bytes: &[u8], end: usize) -> (Option<Gap>, usize) {
    let mut at = end;
    let (mut found, mut bracket, mut spaces) = (None, false, 0);
    loop {
        let (kind, length) = match bytes.get(at..).unwrap_or_default() {
            [b'0'..=b'9', ..] if at > end => {
                let gap = if bracket { Some(Gap::Bracket) } else { found };
                return (gap, at);
            }
            [b')' | b'(', ..] if !bracket || bytes.get(end) == Some(&b')') || bytes.get(at) == Some(&b')') => {
                bracket = true;
                (None, 1)
            }
            [b' ', ..] => (Some(Gap::Space), 1),
            // Spaces that do not break, and such hyphens and dashes.
            [0xC2, 0xA0, ..] => (Some(Gap::Space), 2),
            [0xE2, 0x80, 0xAF | 0x89, ..] => (Some(Gap::Space), 3),
            [b'-', ..] => (Some(Gap::Hyphen), 1),
            [0xE2, 0x80, 0x90 | 0x91 | 0x93, ..] => (Some(Gap::Hyphen), 3),
            [b'.', ..] => (Some(Gap::Point), 1),
            [b'/', ..] => (Some(Gap::Slash), 1),
            _ => return (None, end),
        };
        at += length;
        match kind {
            Some(Gap::Space) => {
                spaces += 1;
                found = found.or(kind);
            }
            // ` / ` and ` - ` may stand between two numbers as well.
            Some(_) if found == Some(Gap::Space) => {}
            Some(_) if found.is_some() => return (None, end),
            Some(_) => found = kind,
            None => {}
        }
        if spaces > 2 || at - end > 6 {
            return (None, end);
        }
    }
}

/// Country code, and where it is North America's the form of the rest.
fn has_country(number: &[u8]) -> bool {
    let value = |digits: &[u8]| digits.iter().fold(0, |value, digit| value * 10 + (digit - b'0'));
    match number {
        [b'1', rest @ ..] => rest.len() == 10 && is_american(rest),
        [b'7', ..] => number.len() == 11,
        [first, second, ..] => {
            let two = value(&[*first, *second]);
            TWO.contains(&two) || THREE.contains(&two) || MORE.contains(&two)
        }
        _ => false,
    }
}

/// Ten digits: neither area nor exchange begins with 0 or 1.
fn is_american(digits: &[u8]) -> bool {
    let [area, _, _, exchange, ..] = digits else { return false };
    digits.len() == 10 && *area >= b'2' && *exchange >= b'2'
}

/// `030 1234567`, `06 12 34 56 78`, `090-1234-5678`, `0171/1234567`: 0 and an area, in groups.
fn is_national(groups: &[Group], digits: &[u8]) -> bool {
    let fits = matches!(digits, [b'0', b'1'..=b'9', ..])
        && (2..=5).contains(&groups.len())
        && (9..=11).contains(&digits.len())
        && groups.iter().all(|group| group.end - group.start >= 2);
    let gaps = || groups.iter().filter_map(|group| group.gap);
    // Points stand between pairs alone, in France.
    let pairs = || groups.len() == 5 && digits.len() == 10 && gaps().all(|gap| gap == Gap::Point);
    fits && (gaps().all(|gap| gap != Gap::Point) || pairs()) && !is_date(groups, digits)
}

/// `2024-01-02`, `01.02.2024`, whatever follows; and what counts seconds or less since 1970 or today's date, in one.
fn is_date(groups: &[Group], digits: &[u8]) -> bool {
    let length = |at: usize| groups.get(at).map_or(0, |group| group.end - group.start);
    let year = |at: usize| matches!(digits.get(at..at + 2), Some(b"19" | b"20"));
    match (length(0), length(1), length(2)) {
        (4, 1..=2, _) | (8, 0, 0) => year(0),
        (day @ 1..=2, month @ 1..=2, 4) => year(day + month),
        (10 | 13, 0, 0) => digits.starts_with(b"1"),
        _ => false,
    }
}

/// True when the last word in front is one that announces a phone number.
fn announced(before: &str, text: &str) -> bool {
    // Digits or nothing in front: no word to look at.
    let last = |text: &str| text.trim_end_matches(|c: char| !c.is_alphanumeric()).chars().next_back();
    let nearest = last(text).or_else(|| last(before));
    if !nearest.is_some_and(char::is_alphabetic) {
        return false;
    }
    let tail = |text: &str| {
        let start = text.ceil_char_boundary(text.len().saturating_sub(CONTEXT));
        text.get(start..).unwrap_or_default().to_lowercase()
    };
    let text = tail(text);
    // A separator keeps the name of a value and what it says apart.
    let text = if text.len() < CONTEXT { format!("{}:{text}", tail(before)) } else { text };
    let words = text.trim_end_matches(|c: char| !c.is_alphanumeric());
    if ANNOUNCE_AT_END.iter().any(|word| words.ends_with(word)) {
        return true;
    }
    let mut words = words.rsplit(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.by_ref().take(3).find(|word| !BETWEEN.contains(word)).is_some_and(|word| ANNOUNCE.contains(&word))
}
