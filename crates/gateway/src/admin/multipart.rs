//! The fields of a `multipart/form-data` body, as `curl -F config=@kong.yml` sends it.

use memchr::memmem;

/// Name and content of each part; `None` where the body is not what its content type says.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<(String, &'a [u8])>> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty())?;
    let delimiter = format!("--{boundary}");
    // The first delimiter may stand at the very beginning, all others follow a line end.
    let mut rest = match body.strip_prefix(delimiter.as_bytes()) {
        Some(rest) => rest,
        None => split_once(body, format!("\r\n{delimiter}").as_bytes())?.1,
    };
    let delimiter = format!("\r\n{delimiter}");
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let part = rest.strip_prefix(b"\r\n")?;
        let (part, after) = split_once(part, delimiter.as_bytes())?;
        rest = after;
        // A part may have no headers at all, and then no name.
        let (headers, content) = split_once(part, b"\r\n\r\n")?;
        let headers = std::str::from_utf8(headers).ok()?;
        let name = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then(|| parameter(value, "name"))?
        });
        parts.extend(name.map(|name| (name, content)));
    }
    Some(parts)
}

/// A parameter of a header's value, unquoted.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        let value = value.trim();
        let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        key.trim().eq_ignore_ascii_case(name).then(|| unquoted.to_owned())
    })
}

fn split_once<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let index = memmem::find(bytes, at)?;
    Some((bytes.get(..index)?, bytes.get(index + at.len()..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_body_is_too_strange(body in "(--x|\r\n|--|[ -~]{0,9}|name=|Content-Disposition: ;){0,20}") {
            let _ = parts("multipart/form-data; boundary=x", body.as_bytes());
        }
    }

    #[test]
    fn parts_come_with_their_names() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"config\"; filename=\"kong.yml\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n_format_version: \"3.0\"\n\r\n\
            --x\r\ncontent-disposition: form-data; name=flag\r\n\r\n\r\n--x--\r\n";
        let parts = parts("multipart/form-data; boundary=x", body).unwrap();
        assert_eq!(
            parts,
            [("config".to_owned(), b"_format_version: \"3.0\"\n".as_slice()), ("flag".to_owned(), b"".as_slice())]
        );
    }

    #[test]
    fn what_is_cut_off_or_has_no_boundary_is_refused() {
        let whole: &[u8] = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--";
        assert!(parts("multipart/form-data; boundary=x", whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(parts("multipart/form-data; boundary=x", &whole[..end]), None, "cut at {end}");
        }
        assert_eq!(parts("multipart/form-data", whole), None);
    }
}
