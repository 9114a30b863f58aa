//! One exchange a file, written after the providers' public specifications: `tests/wire/{family}/{name}.http`; the format
//! is described in `fixture/mod.rs`.
//!
//! Each record is compared with the snapshot beside its file, however the bytes are cut into pieces; and no cut of the
//! body harms.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test that fails should say so at once

mod fixture;

use ai_tracing_core::record::{CallRecord, End, Timing};
use proptest::prelude::*;
use serde_json::{Value, json};

use fixture::{Fixture, fixtures};

/// Without what depends on when the pieces passed.
fn timeless(record: Option<CallRecord>) -> Option<(CallRecord, bool)> {
    record.map(|mut record| {
        let token = record.timing.time_to_first_token_ms.is_some();
        record.timing = Timing::default();
        (record, token)
    })
}

/// What the exchange decides, without what is unknown.
fn telling(record: Option<CallRecord>) -> Value {
    const SAME_EVERYWHERE: [&str; 10] =
        ["id", "detected", "schema_version", "trace_id", "span_id", "name", "method", "server", "timing", "end"];
    let Some(record) = record else { return json!({ "detected": false }) };
    let first_token = record.timing.time_to_first_token_ms;
    let mut value = serde_json::to_value(record).unwrap();
    let members = value.as_object_mut().unwrap();
    members.retain(|key, _| !SAME_EVERYWHERE.contains(&key.as_str()));
    members["context"].as_object_mut().unwrap().remove("environment");
    members.insert("time_to_first_token_ms".into(), json!(first_token));
    drop_empty(&mut value);
    value
}

fn drop_empty(value: &mut Value) {
    if let Value::Object(members) = value {
        members.values_mut().for_each(drop_empty);
        let empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        members.retain(|_, value| !empty(value));
    }
}

#[test]
fn each_fixture_gives_its_record() {
    for fixture in fixtures() {
        let record = fixture.record(fixture.response.split_inclusive(|byte| matches!(byte, b'\n' | 0)), End::Complete);
        insta::with_settings!({
            snapshot_path => fixture.file.parent().unwrap(),
            prepend_module_to_snapshot => false,
            description => fixture.file.file_name().unwrap().to_string_lossy().into_owned(),
            omit_expression => true,
        }, {
            insta::assert_json_snapshot!(fixture.file.file_stem().unwrap().to_str().unwrap(), telling(record));
        });
    }
}

#[test]
fn no_two_fixtures_have_the_same_request_and_answer() {
    let mut seen: Vec<Fixture> = Vec::new();
    for fixture in fixtures() {
        let same = |other: &&Fixture| {
            other.path == fixture.path && other.request == fixture.request && other.response == fixture.response
        };
        assert!(seen.iter().find(same).is_none(), "{}", fixture.file.display());
        seen.push(fixture);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_chunking_gives_the_same_record(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        for fixture in fixtures() {
            let cuts = cuts.iter().map(|cut| cut.index(fixture.response.len() + 1)).collect();
            let whole = fixture.record([fixture.response.as_slice()].into_iter(), End::Complete);
            let pieces = fixture.record(fixture.pieces(cuts).into_iter(), End::Complete);
            prop_assert_eq!(timeless(pieces), timeless(whole), "{}", fixture.file.display());
        }
    }

    #[test]
    fn a_cut_harms_nothing(cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(), bit in 0u8..8) {
        for mut fixture in fixtures() {
            fixture.response.truncate(cut.index(fixture.response.len() + 1));
            if !fixture.response.is_empty() {
                let at = flip.index(fixture.response.len());
                fixture.response[at] ^= 1 << bit;
            }
            fixture.record([fixture.response.as_slice()].into_iter(), End::UpstreamError);
            fixture.request.truncate(cut.index(fixture.request.len() + 1));
            fixture.record([fixture.response.as_slice()].into_iter(), End::ClientGone);
        }
    }
}
