//! International bank account numbers, together or in groups. Source: ISO 13616 and its registry of countries
//! (<https://www.swift.com/standards/data-standards/iban-international-bank-account-number>), with the countries that use
//! the scheme without being registered.

use std::ops::Range;

use super::scan::{begins, digits_end, ends, gap, next_digit};

/// Country and length.
const COUNTRIES: &[u8] = b"\
    AD24 AE23 AL28 AO25 AT20 AZ28 BA20 BE16 BF28 BG22 BH22 BI27 BJ28 BR29 BY28 CF27 CG27 CH21 CI28 CM27 CR22 CV25 CY28 CZ24 \
    DE22 DJ27 DK18 DO28 DZ26 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GA27 GB22 GE22 GI23 GL18 GQ27 GR27 GT28 GW25 HN28 HR21 HU28 \
    IE22 IL23 IQ23 IR26 IS26 IT27 JO30 KM27 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MA28 MC27 MD24 ME22 MG27 MK19 ML28 \
    MN20 MR27 MT31 MU30 MZ25 NE28 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 \
    SM27 SN28 SO23 ST25 SV28 TD27 TG28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30 ";

pub fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        at = next_digit(bytes, at)?;
        if let Some(start) = at.checked_sub(2).filter(|start| *start >= from && begins(bytes, *start))
            && let Some(end) = end(bytes, start)
        {
            return Some(start..end);
        }
        at = digits_end(bytes, at);
    }
}

/// Where the number that begins at `start` ends.
fn end(bytes: &[u8], start: usize) -> Option<usize> {
    let length = length(bytes.get(start..start + 2)?)?;
    let mut characters = Vec::with_capacity(length);
    let mut gap_bytes: &[u8] = &[];
    let mut at = start;
    while characters.len() < length {
        // In groups of four or together: a UUID must not become one by luck.
        if characters.len() == 4 {
            gap_bytes = bytes.get(at..at + gap(bytes, at))?;
        }
        if characters.len() >= 4 && characters.len().is_multiple_of(4) {
            at += bytes.get(at..).filter(|rest| rest.starts_with(gap_bytes)).map(|_| gap_bytes.len())?;
        }
        let character = bytes.get(at).filter(|byte| byte.is_ascii_alphanumeric())?;
        characters.push(character.to_ascii_uppercase());
        at += 1;
    }
    let checked = characters.get(2..4)?.iter().all(u8::is_ascii_digit) && remainder(&characters) == 1;
    (checked && ends(bytes, at)).then_some(at)
}

fn length(country: &[u8]) -> Option<usize> {
    let country = [country.first()?.to_ascii_uppercase(), country.get(1)?.to_ascii_uppercase()];
    let entry = COUNTRIES.chunks_exact(5).find(|entry| entry.starts_with(&country))?;
    std::str::from_utf8(entry.get(2..4)?).ok()?.parse().ok()
}

/// The number, its first four characters at the end and letters as 10 to 35, modulo 97.
fn remainder(characters: &[u8]) -> u32 {
    let (first, rest) = characters.split_at(characters.len().min(4));
    rest.iter().chain(first).fold(0, |remainder, character| match character {
        digit @ b'0'..=b'9' => (remainder * 10 + u32::from(digit - b'0')) % 97,
        letter => (remainder * 100 + u32::from(letter.saturating_sub(b'A')) + 10) % 97,
    })
}
