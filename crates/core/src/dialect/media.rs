//! Media in requests and answers: what it is, how much and which, never megabytes of it.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use crate::json::Json;
use crate::record::Media;
use crate::text::hex;

/// Bytes of inline content up to which it is recorded itself, and not only by its size and hash.
pub const MAX_CONTENT: usize = 32 << 10;

/// Media whose base64 stands in the body.
pub fn inline(modality: &str, mime_type: Option<&str>, base64: &Json<'_>) -> Media {
    let mut media = Media {
        modality: modality.to_owned(),
        mime_type: mime_type.filter(|kind| !kind.is_empty()).map(str::to_owned),
        ..Media::default()
    };
    // Of what was cut, neither size nor hash are known.
    if let Json::String(base64) = base64 {
        fill(&mut media, decode(base64).as_deref(), decoded_size(base64));
    }
    media
}

/// Media behind an address; the content of a `data:` address is inline.
pub fn address(modality: &str, uri: &Json<'_>) -> Media {
    let mut media = Media { modality: modality.to_owned(), ..Media::default() };
    let Some(text) = uri.str() else { return media };
    let Some(rest) = text.strip_prefix("data:") else {
        media.uri = Some(text.to_owned());
        return media;
    };
    let (kind, data) = rest.split_once(',').unwrap_or((rest, ""));
    let mime = kind.split(';').next().unwrap_or_default();
    if kind.ends_with(";base64") {
        let data = match uri {
            Json::String(_) => Json::String(data.into()),
            _ => Json::CutString(data.into()),
        };
        return inline(modality, Some(mime), &data);
    }
    media.mime_type = (!mime.is_empty()).then(|| mime.to_owned());
    if matches!(uri, Json::String(_)) {
        fill(&mut media, Some(data.as_bytes()), data.len() as u64);
    }
    media
}

/// Media that is a body, or a part of a form, by itself: `bytes` where all of it is there.
pub fn body(mime_type: &str, size: u64, bytes: Option<&[u8]>) -> Media {
    let mut media =
        Media { modality: modality(mime_type).to_owned(), mime_type: Some(mime_type.to_owned()), ..Media::default() };
    fill(&mut media, bytes, size);
    media
}

/// True for types of bodies that are neither JSON nor text.
pub fn is_binary(mime_type: &str) -> bool {
    ["audio/", "image/", "video/", "application/octet-stream", "application/pdf"]
        .iter()
        .any(|kind| mime_type.starts_with(kind))
}

/// `image`, `audio` or `video`, as the type says; `file` for anything else.
pub fn modality(mime_type: &str) -> &'static str {
    let kind = mime_type.split('/').next().unwrap_or_default();
    ["image", "audio", "video"].into_iter().find(|modality| *modality == kind).unwrap_or("file")
}

/// SHA-256, as lower-case hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn fill(media: &mut Media, bytes: Option<&[u8]>, size: u64) {
    media.bytes = Some(bytes.map_or(size, |bytes| bytes.len() as u64));
    media.sha256 = bytes.map(sha256);
    media.content = bytes.filter(|bytes| bytes.len() <= MAX_CONTENT).map(|bytes| STANDARD.encode(bytes));
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Base64 of either alphabet, padded or not, in one line or several.
pub fn decode(base64: &str) -> Option<Vec<u8>> {
    let base64 = base64.trim();
    STANDARD.decode(base64).or_else(|_| URL_SAFE.decode(base64)).ok().or_else(|| {
        let joined: String = base64.split_ascii_whitespace().collect();
        STANDARD.decode(joined).ok()
    })
}

/// Bytes that base64 text decodes to.
pub fn decoded_size(base64: &str) -> u64 {
    (base64.trim_end_matches('=').len() as u64) * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_hash_of_inline_content() {
        let media = address("image", &Json::String("data:image/png;base64,aGVsbG8=".into()));
        assert_eq!((media.mime_type.as_deref(), media.bytes), (Some("image/png"), Some(5)));
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!((media.sha256.as_deref(), media.content.as_deref()), (Some(hash), Some("aGVsbG8=")));
        assert_eq!(media.uri, None);
    }

    #[test]
    fn large_content_is_a_reference() {
        let base64 = STANDARD.encode(vec![7; MAX_CONTENT + 1]);
        let media = inline("audio", Some("audio/wav"), &Json::String(base64.into()));
        assert_eq!((media.bytes, media.content), (Some(MAX_CONTENT as u64 + 1), None));
        assert!(media.sha256.is_some());
    }

    #[test]
    fn of_what_was_cut_nothing_is_claimed() {
        let media = address("image", &Json::CutString("data:image/png;base64,aGVs".into()));
        assert_eq!((media.mime_type.as_deref(), media.bytes, media.sha256), (Some("image/png"), None, None));
    }

    #[test]
    fn what_is_no_base64_has_a_size_at_least() {
        let media = inline("image", None, &Json::String("not/base64!!".into()));
        assert_eq!((media.bytes, media.sha256, media.content), (Some(9), None, None));
    }
}
