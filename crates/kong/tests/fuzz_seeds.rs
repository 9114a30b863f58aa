//! A short run of the fuzzer's target over its seeds and some hundred mutations of them, the same each time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that fails should say so at once

mod fuzz_target;

use std::path::Path;

/// Steps, put together as the target takes them apart.
fn steps(steps: &[(u8, u8, &str)]) -> Vec<u8> {
    let step = |(step, pick, text): &(u8, u8, &str)| [&[*step, *pick, text.len() as u8], text.as_bytes()].concat();
    steps.iter().flat_map(step).collect()
}

#[test]
fn no_order_of_calls_breaks_anything() {
    let mut seeds = vec![
        Vec::new(),
        steps(&[
            (2, 3, "content-type\napplication/json"),
            (3, 3, r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#),
            (6, 3, ""),
            (7, 3, "content-type\napplication/json"),
            (8, 3, r#"{"choices":[{"message":{"content":"b"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#),
            (9, 3, ""),
            (8, 3, "late"),
            (9, 3, ""),
        ]),
        steps(&[
            (0, 200, r#"{"log_level":"debug","max_body_size":1024}"#),
            (0, 200, r#"{"log_level":"loud"}"#),
            (2, 4, "x-user-id\nu"),
            (1, 4, ""),
            (2, 4, ""),
            (4, 3, "/nowhere"),
            (5, 3, ""),
            (10, 8, ""),
            (11, 255, ""),
        ]),
    ];
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/kong")).unwrap() {
        seeds.push(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let mut state = 1_u64;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit.max(1)
    };
    for seed in seeds.clone() {
        fuzz_target::kong(&seed);
    }
    for _ in 0..300 {
        let mut input = seeds[random(seeds.len())].clone();
        let other = &seeds[random(seeds.len())];
        for _ in 0..=random(6) {
            let at = random(input.len() + 1);
            match random(3) {
                0 if at < input.len() => input[at] = random(256) as u8,
                1 => input.truncate(at),
                _ => drop(input.splice(at..at, other.iter().copied())),
            }
        }
        fuzz_target::kong(&input);
    }
}
