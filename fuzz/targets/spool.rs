//! The spool's files: any bytes are a segment and a file of cursors, and the spool goes on.
#![no_main]

#[path = "../../crates/export/src/spool/tests/any_bytes.rs"]
mod any_bytes;
#[allow(dead_code, unused_imports)]
#[path = "../../crates/export/src/spool/mod.rs"]
mod spool;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let dir = std::env::temp_dir().join(format!("ai-tracing-fuzz-spool-{}", std::process::id()));
    any_bytes::any_bytes(&dir, input);
});
