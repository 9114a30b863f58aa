#![no_main]

#[path = "../../crates/core/tests/fuzz_targets/mod.rs"]
mod fuzz_targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::frames::aws_event(input));
