//! Forms: `multipart/form-data` bodies, such as those of image edits and transcriptions, read as an object of their
//! fields. Source: RFC 7578.
//!
//! A file becomes an object of what is known of it: `file_name`, `mime_type`, `bytes`, `sha256`, and `content` in base64
//! where it is small. A field that comes more than once, or whose name ends in `[]`, becomes an array.

use std::borrow::Cow;

use memchr::memmem;

use crate::dialect::media;
use crate::json::{self, Json, Parsed, Problem};

/// Fields that are read of one form.
const MAX_FIELDS: usize = 1000;

/// The boundary that a `content-type` header names, if it is that of a form.
pub fn boundary(content_type: Option<&str>) -> Option<&str> {
    let mut parts = content_type?.split(';');
    if !parts.next()?.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parts.find_map(|part| parameter(part, "boundary")).filter(|boundary| !boundary.is_empty())
}

/// The boundary of a body that begins like a form, for requests whose headers do not say what they carry.
pub fn boundary_of(body: &[u8]) -> Option<&str> {
    let line = body.strip_prefix(b"--")?;
    let end = memchr::memchr(b'\n', line)?;
    let (boundary, rest) = line.split_at(end);
    let is_field =
        rest.trim_ascii_start().get(..20).is_some_and(|start| start.eq_ignore_ascii_case(b"content-disposition:"));
    std::str::from_utf8(boundary).ok().map(str::trim).filter(|boundary| is_field && !boundary.is_empty())
}

/// Reads a form.
pub fn parse<'a>(body: &'a [u8], boundary: &str) -> Parsed<'a> {
    let delimiter = format!("--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    let mut fields: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
    let mut problem = None;
    let mut rest = finder.find(body).map(|at| body.get(at + delimiter.len()..).unwrap_or_default());
    if rest.is_none() {
        return Parsed { value: Json::Null, problem: Some(Problem::Invalid(0)) };
    }
    while let Some(part) = rest {
        if part.starts_with(b"--") {
            break;
        }
        let end = finder.find(part);
        let text = part.get(..end.unwrap_or(part.len())).unwrap_or_default();
        if end.is_none() {
            problem = Some(Problem::Truncated);
        }
        if fields.len() >= MAX_FIELDS {
            problem = Some(Problem::TooMany);
            break;
        }
        if let Some((name, value)) = field(text, end.is_some()) {
            add(&mut fields, name, value);
        }
        rest = end.and_then(|end| part.get(end + delimiter.len()..));
    }
    Parsed { value: Json::Object(fields), problem }
}

fn add<'a>(fields: &mut Vec<(Cow<'a, str>, Json<'a>)>, name: &str, value: Json<'a>) {
    let (name, listed) = match name.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (name, false),
    };
    match fields.iter_mut().find(|(known, _)| known == name) {
        Some((_, Json::Array(items))) => items.push(value),
        Some((_, known)) => {
            let first = std::mem::replace(known, Json::Null);
            *known = Json::Array(vec![first, value].into());
        }
        None if listed => fields.push((Cow::Owned(name.to_owned()), Json::Array(vec![value].into()))),
        None => fields.push((Cow::Owned(name.to_owned()), value)),
    }
}

/// Reads one part: its headers, an empty line, its content and the line end that belongs to the delimiter.
fn field(part: &[u8], whole: bool) -> Option<(&str, Json<'_>)> {
    let part = part.strip_prefix(b"\r\n").or_else(|| part.strip_prefix(b"\n")).unwrap_or(part);
    let blank = |pattern: &'static [u8]| memmem::find(part, pattern).map(|at| (at, at + pattern.len()));
    let (end, start) = blank(b"\r\n\r\n").or_else(|| blank(b"\n\n"))?;
    let headers = std::str::from_utf8(part.get(..end)?).ok()?;
    let content = part.get(start..)?;
    let content = match whole {
        true => content.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line)).unwrap_or(content),
        false => content,
    };
    let header = |name: &str| {
        headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    let told = |name: &str| disposition.split(';').find_map(|part| parameter(part, name));
    let name = told("name")?;
    Some((
        name,
        if let Some(file_name) = told("filename") {
            file(file_name, header("content-type"), content, whole)
        } else {
            match json::text(content) {
                text if text == "true" => Json::Bool(true),
                text if text == "false" => Json::Bool(false),
                text if whole => Json::String(text),
                text => Json::CutString(text),
            }
        },
    ))
}

fn file<'a>(name: &'a str, mime_type: Option<&'a str>, content: &[u8], whole: bool) -> Json<'a> {
    let mut members = vec![(Cow::Borrowed("file_name"), Json::String(name.into()))];
    if let Some(kind) = mime_type {
        members.push((Cow::Borrowed("mime_type"), Json::String(kind.into())));
    }
    if whole {
        let media = media::body("", content.len() as u64, Some(content));
        // Counts are read from strings as well.
        let bytes = media.bytes.map(|bytes| bytes.to_string());
        for (name, value) in [("bytes", bytes), ("sha256", media.sha256), ("content", media.content)] {
            members.extend(value.map(|value| (Cow::Borrowed(name), Json::String(value.into()))));
        }
    }
    Json::Object(members)
}

/// The value of a `name=value` or `name="value"` parameter.
fn parameter<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = part.split_once('=')?;
    let value = value.trim();
    key.trim()
        .eq_ignore_ascii_case(name)
        .then(|| value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"preamble\r\n--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--xyz\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nhello\r\n--xyz\r\n\
        Content-Disposition: form-data; name=\"t[]\"\r\n\r\nword\r\n--xyz\r\n\
        Content-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--xyz--\r\n";

    #[test]
    fn fields_and_files() {
        let parsed = parse(FORM, boundary(Some("multipart/form-data; boundary=\"xyz\"")).unwrap_or_default());
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let wanted = serde_json::json!({
            "model": "whisper-1", "t": ["word"], "stream": true,
            "file": {"file_name": "a.wav", "mime_type": "audio/wav", "bytes": "5", "sha256": hash, "content": "aGVsbG8="},
        });
        assert_eq!((parsed.value.to_value(), parsed.problem), (wanted, None));
    }

    #[test]
    fn a_cut_form_tells_what_there_is() {
        let cut = FORM.iter().position(|byte| *byte == b'w').map_or(FORM, |at| &FORM[..at + 3]);
        let parsed = parse(cut, "xyz");
        assert_eq!(parsed.value.get("model"), &Json::CutString("whi".into()));
        assert_eq!(parsed.problem, Some(Problem::Truncated));
    }

    #[test]
    fn a_form_shows_itself() {
        let start = FORM.iter().position(|byte| *byte == b'-').unwrap_or(0);
        assert_eq!(boundary_of(&FORM[start..]), Some("xyz"));
        assert_eq!(boundary_of(b"--xyz\r\nhello"), None);
        assert_eq!(boundary_of(b"{}"), None);
    }

    #[test]
    fn what_is_no_form() {
        assert_eq!(boundary(Some("application/json; boundary=x")), None);
        assert_eq!(boundary(Some("multipart/form-data")), None);
        assert_eq!(parse(b"{}", "x").problem, Some(Problem::Invalid(0)));
    }
}
