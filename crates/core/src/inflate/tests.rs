use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn raw(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(data, 3).unwrap()
}

/// The text in `testdata/stream_*.br`, written by the reference encoder: one at quality 5 with a flush every 97 bytes,
/// one at quality 11 in one go.
fn stream_text() -> Vec<u8> {
    let event = |i: u64| {
        let word = i * 7919 % 1000;
        format!("data: {{\"id\":\"c-{i}\",\"choices\":[{{\"delta\":{{\"content\":\"w{word}\"}}}}]}}\n\n")
    };
    (0..400).map(event).collect::<String>().into_bytes()
}

/// One text in every encoding.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let text = stream_text();
    let two_members = [gzip(&text[..9000]), gzip(b""), gzip(&text[9000..])].concat();
    let two_frames = [zstd(&text[..9000]), zstd(&text[9000..])].concat();
    vec![
        ("gzip", gzip(&text)),
        ("X-GZip", two_members),
        ("deflate", zlib(&text)),
        ("deflate", raw(&text)),
        ("br", include_bytes!("testdata/stream_q5.br").to_vec()),
        ("Br", include_bytes!("testdata/stream_q11.br").to_vec()),
        ("zstd", zstd(&text)),
        ("zstd", two_frames),
        ("deflate, gzip", gzip(&zlib(&text))),
        ("identity,gzip ,, zstd", zstd(&gzip(&text))),
        ("zstd, deflate, gzip", gzip(&raw(&zstd(&text)))),
    ]
}

/// Decodes `body` in pieces that end at `cuts`.
fn decode(encoding: &str, body: &[u8], cuts: &[usize], limit: usize) -> (Vec<u8>, Option<String>) {
    let mut inflate = Inflate::new(encoding, limit).unwrap();
    let mut out = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    cuts.sort_unstable();
    let mut start = 0;
    for end in cuts.into_iter().chain([body.len()]) {
        inflate.push(&body[start..end], &mut out);
        start = end;
    }
    (out, inflate.finish())
}

fn bytewise(body: &[u8]) -> Vec<usize> {
    (0..body.len()).collect()
}

#[test]
fn every_encoding_gives_the_text_in_one_go_and_byte_by_byte() {
    for (encoding, body) in samples() {
        for cuts in [vec![], bytewise(&body)] {
            let (out, issue) = decode(encoding, &body, &cuts, LIMIT);
            assert_eq!(issue, None, "{encoding}");
            assert!(out == stream_text(), "{encoding}");
        }
    }
}

#[test]
fn without_a_coding_there_is_nothing_to_do() {
    for encoding in ["", " ", "identity", "IDENTITY, identity", ","] {
        assert!(Inflate::new(encoding, LIMIT).is_none(), "{encoding:?}");
    }
}

#[test]
fn an_unknown_coding_is_told_and_yields_nothing() {
    let cases = [
        ("compress", "body not decoded: unknown content encoding compress"),
        ("gzip, aes128gcm", "body not decoded: unknown content encoding aes128gcm"),
        ("a\"\n\u{7f}", "body not decoded: unknown content encoding a\\\"\\n\\u{7f}"),
        ("gzip,gzip,gzip,gzip,gzip", "body not decoded: more than 4 content encodings"),
    ];
    for (encoding, text) in cases {
        let mut inflate = Inflate::new(encoding, LIMIT).unwrap();
        let mut out = Vec::new();
        assert_eq!(inflate.push(&gzip(b"x"), &mut out), Status::Stopped);
        assert_eq!((out, inflate.finish().as_deref()), (Vec::new(), Some(text)));
    }
    let long = Inflate::new(&"x".repeat(9000), LIMIT).and_then(Inflate::finish).unwrap();
    assert!(long.len() < 100);
}

#[test]
fn an_empty_body_is_no_error() {
    for (encoding, _) in samples() {
        assert_eq!(decode(encoding, b"", &[], LIMIT), (Vec::new(), None));
    }
}

#[test]
fn what_a_server_flushes_comes_out_at_once() {
    let events: [&[u8]; 3] = [b"data: one\n\n", b"data: two\n\n", b"data: [DONE]\n\n"];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut zstd = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let mut from_gzip = Inflate::new("gzip", LIMIT).unwrap();
    let mut from_zstd = Inflate::new("zstd", LIMIT).unwrap();
    for event in events {
        gzip.write_all(event).unwrap();
        gzip.flush().unwrap();
        zstd.write_all(event).unwrap();
        zstd.flush().unwrap();
        let (mut out_gzip, mut out_zstd) = (Vec::new(), Vec::new());
        from_gzip.push(&std::mem::take(gzip.get_mut()), &mut out_gzip);
        from_zstd.push(&std::mem::take(zstd.get_mut()), &mut out_zstd);
        assert_eq!([out_gzip, out_zstd], [event, event]);
    }
    // The client goes away here: what came is known, and that it is not all.
    assert_eq!(from_gzip.finish().as_deref(), Some("body cut: its gzip data ends too early"));
    assert_eq!(from_zstd.finish().as_deref(), Some("body cut: its zstd data ends too early"));

    // 97 bytes a flush in this file: once a third of it has passed, about a third of the text must be there.
    let body = include_bytes!("testdata/stream_q5.br");
    let mut out = Vec::new();
    Inflate::new("br", LIMIT).unwrap().push(&body[..body.len() / 3], &mut out);
    assert!(out.len() > stream_text().len() / 4, "{}", out.len());
}

#[test]
fn bytes_behind_the_end_are_ignored() {
    for (encoding, body) in [("gzip", gzip(b"text")), ("deflate", zlib(b"text")), ("deflate", raw(b"text"))] {
        let body = [body, b"\0\0 garbage".to_vec()].concat();
        for cuts in [vec![], bytewise(&body)] {
            assert_eq!(decode(encoding, &body, &cuts, LIMIT), (b"text".to_vec(), None));
        }
    }
}

#[test]
fn corrupt_data_is_told_and_what_came_before_stays() {
    let text = stream_text();
    let mut body = gzip(&text);
    let checksum = body.len() - 8;
    body[checksum] ^= 1;
    let told = Some("body cut: its gzip data is corrupt".to_owned());
    assert_eq!(decode("gzip", &body, &[], LIMIT), (text.clone(), told.clone()));
    assert_eq!(decode("gzip", b"{\"not\":\"gzip\"}", &[], LIMIT), (Vec::new(), told));
    for encoding in ["br", "zstd", "deflate"] {
        let (out, issue) = decode(encoding, &[0xff; 64], &[], LIMIT);
        assert_eq!((out, issue), (Vec::new(), Some(format!("body cut: its {encoding} data is corrupt"))));
    }
    // A later frame is damaged: the first is kept.
    let body = [zstd(&text), b"garbage".to_vec()].concat();
    let (out, issue) = decode("zstd", &body, &[body.len() - 7], LIMIT);
    assert_eq!(issue.as_deref(), Some("body cut: its zstd data is corrupt"));
    assert!(out == text);
}

#[test]
fn the_limit_is_exact() {
    for (encoding, body) in samples() {
        let text = stream_text();
        assert_eq!(decode(encoding, &body, &[], text.len()).1, None, "{encoding}");
        let (out, issue) = decode(encoding, &body, &[], text.len() - 1);
        assert!(out == text[..text.len() - 1], "{encoding}");
        assert_eq!(issue, Some(format!("body cut: it inflates to more than {} bytes", text.len() - 1)));
    }
}

#[test]
fn a_bomb_of_one_gibibyte_stops_at_the_limit() {
    let zeros = vec![0; 16 << 20];
    let bombs = [
        ("gzip", gzip(&zeros).repeat(64)),
        ("deflate", raw(&zeros)),
        ("zstd", zstd(&zeros).repeat(64)),
        ("br", include_bytes!("testdata/zeros_1gib.br").to_vec()),
        ("gzip, zstd", zstd(&gzip(&zeros).repeat(64))),
    ];
    for (encoding, bomb) in bombs {
        let mut inflate = Inflate::new(encoding, LIMIT).unwrap();
        let mut out = Vec::new();
        assert_eq!(inflate.push(&bomb, &mut out), Status::Stopped, "{encoding}");
        assert_eq!(out.len(), LIMIT);
        assert!(out.capacity() <= 2 * LIMIT);
        assert!(inflate.finish().unwrap().contains("inflates to more than"));
    }
}

#[test]
fn a_bomb_between_two_codings_stops_as_well() {
    // Empty members yield nothing, however many there are: only the inner coding's own bound ends this.
    let bomb = gzip(&gzip(b"").repeat(LIMIT / 10));
    let (out, issue) = decode("gzip, gzip", &bomb, &[], LIMIT);
    assert!(out.is_empty());
    assert!(issue.unwrap().contains("inflates to more than"));
}

#[test]
fn a_zstd_window_above_what_http_allows_is_refused() {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(b"text").unwrap();
    encoder.flush().unwrap();
    encoder.write_all(b"text").unwrap();
    let (out, issue) = decode("zstd", &encoder.finish().unwrap(), &[], LIMIT);
    assert_eq!((out, issue.as_deref()), (Vec::new(), Some("body cut: its zstd data is corrupt")));
}

proptest! {
    #[test]
    fn any_data_survives_any_chunking(
        data in prop::collection::vec(any::<u8>(), 0..3000),
        repeat in 1usize..30,
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let data = data.repeat(repeat);
        for (encoding, body) in [
            ("gzip", gzip(&data)),
            ("deflate", zlib(&data)),
            ("deflate", raw(&data)),
            ("zstd", zstd(&data)),
            ("zstd, gzip", gzip(&zstd(&data))),
        ] {
            let (out, issue) = decode(encoding, &body, &cuts, LIMIT);
            prop_assert_eq!(issue, None);
            prop_assert!(out == data);
        }
    }

    #[test]
    fn a_truncated_body_gives_the_same_beginning_however_it_was_cut(
        at in any::<usize>(),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        for (encoding, body) in samples() {
            let body = &body[..at % body.len()];
            let (out, issue) = decode(encoding, body, &cuts, LIMIT);
            prop_assert!(stream_text().starts_with(&out));
            // Between two members or frames, nothing tells that more was to come.
            let whole = out.is_empty() && body.is_empty() || out.len() == 9000;
            prop_assert!(whole || issue.is_some_and(|issue| issue.ends_with("data ends too early")));
            prop_assert!(decode(encoding, body, &[], LIMIT).0 == out, "{}", encoding);
            prop_assert!(decode(encoding, body, &bytewise(body), LIMIT).0 == out, "{}", encoding);
        }
    }

    #[test]
    fn damage_anywhere_neither_panics_nor_passes_the_limit(
        at in any::<usize>(),
        with in 1u8..,
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        for (encoding, mut body) in samples() {
            let at = at % body.len();
            body[at] ^= with;
            let (out, _) = decode(encoding, &body, &cuts, 30_000);
            prop_assert!(out.len() <= 30_000);
        }
    }

    #[test]
    fn noise_neither_panics_nor_passes_the_limit(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
        for encoding in ["gzip", "deflate", "br", "zstd", "gzip, br"] {
            let (out, _) = decode(encoding, &noise, &[noise.len() / 2], 10_000);
            prop_assert!(out.len() <= 10_000);
        }
    }
}
