//! What the way from a finished call to a destination costs: reading, the spool, encoding and sending.
//!
//! ```text
//! delivery ADDRESS DIRECTORY RECORDS
//! ```
//!
//! Calls of 4 KiB go through an engine as fast as it takes them, four times: read alone; read and written to a spool in
//! DIRECTORY, with the destination down; the same with an OTLP receiver at ADDRESS that takes them (bench/loadgen's
//! sink); and to that receiver without a spool. Prints a JSON line for each. `bench/delivery.py` makes its section of
//! docs/performance.md of them.

// A bench that fails should say so at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_core::capture::{Capture, Finished, Headers, Ids, RequestHead, Upstream};
use ai_tracing_core::record::End;
use ai_tracing_core::settings::Settings;
use ai_tracing_core::time::At;
use ai_tracing_export::{Engine, Options, Stats, Tracer, spool};
use serde_json::json;

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls that may wait for the engine: enough that it never waits for us.
const AHEAD: u64 = 4000;
const MS: u64 = 1_000_000;
/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";

struct Json;

impl Headers for Json {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "content-type").then_some(Cow::Borrowed("application/json"))
    }
}

/// Text that compresses about as well as people's does.
fn words(bytes: usize, mut state: u64) -> String {
    const WORDS: [&str; 16] = [
        "the",
        "model",
        "answers",
        "in",
        "words",
        "of",
        "many",
        "lengths",
        "and",
        "never",
        "twice",
        "alike",
        "while",
        "somebody",
        "waits",
        "patiently",
    ];
    let mut text = String::new();
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS.get((state >> 40) as usize % WORDS.len()).unwrap());
        text.push_str(&format!(" {} ", (state >> 50) % 100));
    }
    text.truncate(bytes);
    text
}

/// Bodies of 4 KiB together.
fn bodies(seed: u64) -> (Vec<u8>, Vec<u8>) {
    let request = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": words(1920, seed)}]});
    let answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": words(1840, !seed)}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 480, "completion_tokens": 460, "total_tokens": 940},
    });
    (request.to_string().into_bytes(), answer.to_string().into_bytes())
}

fn call(settings: &Arc<Settings>, number: u64, (request, answer): &(Vec<u8>, Vec<u8>)) -> Finished {
    let ids =
        Ids { call: format!("0198f000-0000-7000-8000-{number:012x}"), trace: u128::from(number) + 1, span: number + 1 };
    let path = "/v1/chat/completions";
    let head = RequestHead {
        method: "POST",
        path,
        query: None,
        host: "gateway.local",
        headers: &Json,
        upstream: Some(Upstream { host: "api.openai.com", port: 443, path }),
        service: None,
        route: None,
        consumer: None,
    };
    let now = At(1_760_000_000_000 * MS + number * MS);
    let later = |ms: u64| At(now.0 + ms * MS);
    let mut capture = Capture::start(settings, &head, ids, now).unwrap();
    capture.request_body(request);
    capture.upstream_started(later(1));
    capture.response_head(200, &Json, later(2));
    capture.response_body(answer, later(3));
    capture.finish(End::Complete, later(4))
}

/// CPU time of all threads but this one, in seconds.
fn cpu_of_others() -> f64 {
    let own = std::process::id().to_string();
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten().filter(|thread| thread.file_name() != *own);
    let spent = threads.filter_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    spent.sum::<u64>() as f64 / 1e9
}

/// Bytes that this process has given to disks.
fn written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().trim().parse().unwrap()
}

fn configuration(endpoint: Option<&str>) -> AiTracing {
    let mut config = AiTracing::default_value();
    config["otlp_endpoint"] = json!(endpoint);
    config["log_level"] = json!("error");
    config["queue"]["initial_retry_delay"] = json!(600);
    config["queue"]["max_retry_delay"] = json!(600);
    AiTracing::from_value(&config).unwrap()
}

/// Sends so many calls through an engine until `done`, and says what it took.
fn measure(name: &str, endpoint: Option<&str>, directory: Option<&Path>, count: u64, done: impl Fn(&Stats) -> u64) {
    let spool = directory.map(|directory| spool::Options::new(directory.join(name)));
    let engine = Engine::start(Options { spool, ..Options::default() }, Vec::new(), None).unwrap();
    let tracer: Arc<Tracer> = engine.tracer(&configuration(endpoint), &|_| None).unwrap();
    let sink = engine.sink();
    let bodies: Vec<_> = (0..64).map(bodies).collect();
    let send = |from: u64, to: u64| {
        for number in from..to {
            while number.is_multiple_of(64) && engine.stats().sink.waiting > AHEAD {
                std::thread::sleep(Duration::from_millis(1));
            }
            let bodies = bodies.get(number as usize % bodies.len()).unwrap();
            sink.offer(call(&tracer.settings, number, bodies), &tracer);
        }
        while done(&engine.stats()) < to {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    // Connections, files and pages that are there from then on.
    let warm = count / 10;
    send(0, warm);
    let before = (engine.stats().spool.map_or(0, |spool| spool.spool.appended_bytes), written(), cpu_of_others());
    let began = Instant::now();
    send(warm, warm + count);
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_of_others() - before.2);
    let stats = engine.stats();
    let appended = stats.spool.as_ref().map_or(0, |spool| spool.spool.appended_bytes) - before.0;
    let lost = stats.sink.dropped() + stats.destinations.iter().map(|it| it.dropped.total()).sum::<u64>();
    engine.shutdown(Duration::from_millis(100));
    let line = json!({
        "case": name, "records": count, "seconds": seconds, "cpu_seconds": cpu, "spooled_bytes": appended,
        "disk_bytes": written() - before.1, "lost": lost,
    });
    println!("{line}");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [address, directory, records] = arguments.as_slice() else {
        println!("usage: delivery ADDRESS DIRECTORY RECORDS");
        return;
    };
    let (directory, records) = (Path::new(directory), records.parse().expect("RECORDS is a number"));
    let sink = format!("http://{address}");
    let delivered = |stats: &Stats| stats.destinations.iter().map(|it| it.delivered).sum();
    measure("read", None, None, records, |stats| stats.records);
    measure("spool", Some(NOBODY), Some(directory), records, |stats| {
        stats.spool.as_ref().map_or(0, |it| it.spool.appended)
    });
    measure("deliver", Some(&sink), Some(directory), records, delivered);
    measure("memory", Some(&sink), None, records, delivered);
}
