//! A short run of the fuzzer's targets that needs no fuzzer: the seeds in `fuzz/seeds/`, those that the fixtures give,
//! and some thousand mutations of both, the same each time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test that fails should say so at once

mod fixture;
mod fuzz_targets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fuzz_targets::{Random, TARGETS, Target, exchange};

/// Mutations of all seeds of one target.
const MUTATIONS: usize = 2000;
/// Longest seed that is mutated.
const MAX_SEED: usize = 16 << 10;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Inputs that the fixtures give, by target.
fn from_fixtures() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut seeds: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |target: &'static str, seed: Vec<u8>| {
        let known = seeds.entry(target).or_default();
        if seed.len() <= MAX_SEED && !known.contains(&seed) {
            known.push(seed);
        }
    };
    for fixture in fixture::fixtures() {
        let lines = |headers: &fixture::Pairs| {
            headers.0.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>().into_bytes()
        };
        let query = fixture.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        let request = (lines(&fixture.request_headers), &fixture.request);
        let response = (lines(&fixture.response_headers), &fixture.response);
        let address = format!("{}{}{query}", fixture.host, fixture.path);
        let of = |part: &(Vec<u8>, &Vec<u8>)| (part.0.clone(), part.1.clone());
        let ((asked, request), (told, response)) = (of(&request), of(&response));
        add("exchange", exchange::input(&address, fixture.status, (&asked, &request), (&told, &response)));
        add("json", request);
        let framing = match response.first() {
            Some(b'{' | b'[') => "json_stream",
            Some(0) => "aws_event",
            _ => "sse",
        };
        if framing == "json_stream" {
            add("json", response.clone());
        }
        let choices: &[u8] = if framing == "aws_event" { &[3, 0, 255] } else { &[3] };
        add(framing, [choices, &response].concat());
    }
    // Encoded bodies of zstd, which only its library writes; the others lie in the repository.
    let body = b"data: {\"a\":1}\n\n".repeat(20);
    add("inflate", [&[3, 3], zstd::bulk::compress(&body, 3).unwrap().as_slice()].concat());
    seeds
}

/// Inputs that lie in the repository: those that once broke something, and what no fixture has.
fn checked_in(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(fuzz_folder().join("seeds").join(target)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One seed changed in a few places, or two spliced.
fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    const TOKENS: [&[u8]; 14] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"\\u",
        b"\n\n",
        b"\0",
        b"data: ",
        b"null",
        b"-1",
        b"1e999",
        b"\xff",
        b"99999999999999999999",
    ];
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.below(256) as u8),
            2 => {
                let token = TOKENS[random.below(TOKENS.len())];
                bytes.splice(at..at, token.iter().copied());
            }
            3 => {
                let end = (at + random.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let other = &seeds[random.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

fn run(name: &str, target: Target, input: &[u8]) {
    if std::panic::catch_unwind(|| target(input)).is_err() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, input).unwrap();
        panic!("{name} fails on the input in {}", file.display());
    }
}

#[test]
fn seeds_and_their_mutations_break_nothing() {
    let fixtures = from_fixtures();
    for (name, target) in TARGETS {
        let mut seeds = checked_in(name);
        seeds.extend(fixtures.get(name).into_iter().flatten().cloned());
        assert!(!seeds.is_empty(), "{name} has no seed");
        let mut random = Random(1);
        seeds.iter().for_each(|seed| run(name, target, seed));
        for _ in 0..MUTATIONS {
            run(name, target, &mutated(&mut random, &seeds));
        }
    }
}

/// Writes the fixtures' inputs for the fuzzer to begin with: `fuzz/corpus/{target}/`.
#[test]
#[ignore = "writes files; scripts/fuzz.sh calls it"]
fn write_seeds() {
    for (name, seeds) in from_fixtures() {
        let folder = fuzz_folder().join("corpus").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (index, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("fixture-{index:03}")), seed).unwrap();
        }
    }
}
