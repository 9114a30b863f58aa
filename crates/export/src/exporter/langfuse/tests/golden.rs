//! Both encodings of every fixture, read back into JSON and compared with a snapshot.

use ai_tracing_config::ai_tracing::LangfuseObservations::{self, Compact, Full};
use serde_json::{Value, json};

use super::super::{Api, encode, payloads};
use crate::testing::{calls, named_calls, readable};

#[test]
fn otlp_full() {
    each(Full, |name, otlp, _| insta::assert_json_snapshot!(format!("otlp_{name}"), otlp));
}

#[test]
fn batch_full() {
    each(Full, |name, _, batch| insta::assert_json_snapshot!(format!("batch_{name}"), batch));
}

#[test]
fn compact() {
    each(Compact, |name, otlp, batch| {
        if matches!(name, "chat" | "embeddings" | "minimal") {
            insta::assert_json_snapshot!(format!("compact_{name}"), json!({"otlp": otlp, "batch": batch}));
        }
    });
}

#[test]
fn the_payload_on_the_wire_is_the_gzipped_encoding() {
    let records = calls();
    let payload = encode(&records, Full, Api::Otlp).unwrap();
    let mut inflated = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&payload.body[..]), &mut inflated).unwrap();
    let (otlp, batch) = payloads(&records, Full).unwrap();
    assert_eq!(inflated, otlp);
    assert_eq!(encode(&records, Full, Api::Ingestion).unwrap().body, batch);
}

fn each(observations: LangfuseObservations, check: impl Fn(&str, Value, Value)) {
    for (name, record) in named_calls() {
        let (otlp, batch) = payloads(&[record], observations).unwrap();
        check(name, readable(&otlp), serde_json::from_slice(&batch).unwrap());
    }
}
