//! The little of gRPC that an export needs: one message out, one status back
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). Pure: bytes and headers in, values out.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use prost::Message as _;

/// Bytes in front of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// 0 is success; the others are those of
    /// <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>.
    pub code: u32,
    pub message: String,
    /// The server's wish (`google.rpc.RetryInfo`), which also says that trying again makes sense.
    pub retry_after: Option<Duration>,
}

/// A compressed message as it goes out. `None`: longer than a length can say.
pub(super) fn frame(compressed: &[u8]) -> Option<Bytes> {
    let mut frame = BytesMut::with_capacity(PREFIX + compressed.len());
    frame.put_u8(1);
    frame.put_u32(u32::try_from(compressed.len()).ok()?);
    frame.put_slice(compressed);
    Some(frame.freeze())
}

/// The first message of an answer; `None` where there is none, or none that can be read: no compression was allowed.
pub(super) fn message(body: &Bytes) -> Option<Bytes> {
    let (&[compressed, a, b, c, d], _) = body.split_first_chunk::<PREFIX>()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let end = PREFIX.checked_add(length).filter(|end| *end <= body.len() && compressed == 0)?;
    Some(body.slice(PREFIX..end))
}

/// The status, from the trailers, or from the headers of an answer that is nothing but a status. `None`: not gRPC.
pub(super) fn status(headers: &HeaderMap, trailers: &HeaderMap) -> Option<Status> {
    let of = |map: &HeaderMap| {
        let code = map.get("grpc-status")?.to_str().ok()?.trim().parse().ok()?;
        let message = map.get("grpc-message").and_then(|text| text.to_str().ok()).unwrap_or_default();
        Some(Status {
            code,
            message: percent_decode_str(message).decode_utf8_lossy().into_owned(),
            retry_after: map.get("grpc-status-details-bin").and_then(|details| retry_info(details.as_bytes())),
        })
    };
    of(trailers).or_else(|| of(headers))
}

/// Hides what must not come into a log from the message of a status.
pub(super) fn hide(map: &mut HeaderMap, secrets: &[&str]) {
    let Some(message) = map.get("grpc-message").and_then(|text| text.to_str().ok()) else { return };
    let message = percent_decode_str(message).decode_utf8_lossy();
    let hidden = secrets.iter().fold(message.into_owned(), |text, secret| text.replace(secret, "[hidden]"));
    let hidden = utf8_percent_encode(&hidden, NON_ALPHANUMERIC).to_string();
    if let Ok(value) = HeaderValue::try_from(hidden) {
        map.insert("grpc-message", value);
    }
}

/// Some libraries pad, others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn retry_info(details: &[u8]) -> Option<Duration> {
    let details = Details::decode(BASE64.decode(details).ok()?.as_slice()).ok()?;
    let info = details.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let nanos = u32::try_from(delay.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, nanos))
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Details {
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Delay {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_a_server_says_is_taken(
            body in prop::collection::vec(any::<u8>(), 0..40),
            texts in prop::collection::vec("[ -~]{0,24}", 2),
            secret in "[a-z]{4,12}",
            details in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            prop_assume!(!"hidden".contains(&secret));
            let _ = message(&Bytes::from(body));
            let mut map = HeaderMap::new();
            let details = base64::engine::general_purpose::STANDARD.encode(details);
            let values = [&texts[0], &texts[1], &details];
            for (name, value) in ["grpc-status", "grpc-message", "grpc-status-details-bin"].into_iter().zip(values) {
                map.insert(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
            }
            let _ = status(&map, &HeaderMap::new());
            let quoted = utf8_percent_encode(&format!("{}{secret}", texts[1]), NON_ALPHANUMERIC).to_string();
            map.insert("grpc-message", HeaderValue::try_from(quoted).unwrap());
            map.insert("grpc-status", HeaderValue::from_static("2"));
            hide(&mut map, &[&secret]);
            let told = status(&map, &HeaderMap::new()).unwrap().message;
            prop_assert!(!told.contains(&secret) && told.contains("[hidden]"), "{}", told);
        }
    }

    /// The header of a status with a wish, by any of base64's habits.
    fn details(seconds: i64, nanos: i32) -> [String; 2] {
        let value = RetryInfo { retry_delay: Some(Delay { seconds, nanos }) }.encode_to_vec();
        let other = Any { type_url: "type.googleapis.com/google.rpc.DebugInfo".into(), value: vec![1] };
        let info = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value };
        let bytes = Details { details: vec![other, info] }.encode_to_vec();
        let padded = base64::engine::general_purpose::STANDARD.encode(&bytes);
        [padded.trim_end_matches('=').to_owned(), padded]
    }

    fn map(values: &[(&'static str, &str)]) -> HeaderMap {
        values.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_message_is_framed_and_found_again() {
        let framed = frame(b"zip").unwrap();
        assert_eq!(&framed[..], b"\x01\0\0\0\x03zip");
        assert_eq!(message(&framed), None, "compressed, which was not allowed");
        assert_eq!(message(&Bytes::from_static(b"\0\0\0\0\x02okrest")), Some(Bytes::from_static(b"ok")));
        for short in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x02o", b"\0\xff\xff\xff\xffx"] {
            assert_eq!(message(&Bytes::from_static(short)), None, "{short:?}");
        }
    }

    #[test]
    fn the_status_stands_in_the_trailers_or_alone() {
        let told = |code, message: &str| Some(Status { code, message: message.into(), retry_after: None });
        let trailers = map(&[("grpc-status", "3"), ("grpc-message", "too%20l%C3%A4ng")]);
        assert_eq!(status(&HeaderMap::new(), &trailers), told(3, "too läng"));
        assert_eq!(status(&map(&[("grpc-status", "0")]), &HeaderMap::new()), told(0, ""));
        assert_eq!(status(&map(&[("grpc-status", "0")]), &map(&[("grpc-status", "14")])), told(14, ""));
        for wrong in ["", "x", "-1"] {
            assert_eq!(status(&HeaderMap::new(), &map(&[("grpc-status", wrong)])), None);
        }
    }

    #[test]
    fn the_servers_wish_is_read() {
        for (seconds, nanos, expected) in [
            (7, 500_000_000, Some(Duration::from_millis(7500))),
            (0, 0, Some(Duration::ZERO)),
            (-1, 0, None),
            (1, -1, None),
            (1, i32::MAX, None),
        ] {
            for header in details(seconds, nanos) {
                let trailers = map(&[("grpc-status", "8"), ("grpc-status-details-bin", &header)]);
                assert_eq!(status(&HeaderMap::new(), &trailers).unwrap().retry_after, expected);
            }
        }
        let junk = map(&[("grpc-status", "8"), ("grpc-status-details-bin", "%%%")]);
        assert_eq!(status(&HeaderMap::new(), &junk).unwrap().retry_after, None);
    }
}
