//! What is recognised without a pattern of one's own: each kind by a search that knows its check digits, prefixes and
//! lengths, in linear time.
//!
//! They say no to what only looks alike: ids, UUIDs, hashes, dates, timestamps, amounts and counts stay. Letters and digits
//! are ASCII's, but for the letters of e-mail addresses.

mod api_key;
mod credit_card;
mod email;
mod iban;
mod keys;
mod phone;
mod scan;

use std::ops::Range;

/// A kind of secret or of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Builtin {
    /// Keys and tokens of known shapes, private keys, what stands behind `Bearer`, credentials in URLs.
    ApiKey,
    /// E-mail addresses.
    Email,
    /// International bank account numbers: country, length, check digits.
    Iban,
    /// Card numbers: network, length, check digit.
    CreditCard,
    /// Phone numbers in international form, or in a national form that can be told from other numbers.
    Phone,
}

impl Builtin {
    /// What stands in the place of a match.
    pub fn replacement(self) -> &'static str {
        match self {
            Self::ApiKey => "[API_KEY]",
            Self::Email => "[EMAIL]",
            Self::Iban => "[IBAN]",
            Self::CreditCard => "[CREDIT_CARD]",
            Self::Phone => "[PHONE]",
        }
    }

    /// The first match at or after `from`. `before` is what stands in front of the text, such as the name of the value.
    pub(super) fn find(self, before: &str, text: &str, from: usize) -> Option<Range<usize>> {
        match self {
            Self::ApiKey => api_key::find(text, from),
            Self::Email => email::find(text, from),
            Self::Iban => iban::find(text, from),
            Self::CreditCard => credit_card::find(text, from),
            Self::Phone => phone::find(before, text, from),
        }
    }
}

#[cfg(test)]
mod tests;
