//! The Kong library's C interface, in any order.
#![no_main]

#[path = "../../crates/kong/tests/fuzz_target/mod.rs"]
mod fuzz_target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_target::kong(input));
