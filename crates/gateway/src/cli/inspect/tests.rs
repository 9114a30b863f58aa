use std::cell::RefCell;
use std::io;
use std::path::Path;

use clap::Parser;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::term::text;

const PIPE: Terminal = Terminal { is_terminal: false, width: None, colour: false };

const fn columns(width: usize) -> Terminal {
    Terminal { is_terminal: true, width: Some(width), colour: false }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    inspect: Inspect,
}

/// What the command prints for these arguments on both outputs, and whether it succeeded. Files are named within `dir`.
fn run(dir: &Path, terminal: Terminal, args: &[&str]) -> (String, String, bool) {
    let args = args.iter().map(|arg| match arg.strip_prefix('@') {
        Some(file) => dir.join(file).display().to_string(),
        None => (*arg).to_owned(),
    });
    let cli = Cli::try_parse_from(std::iter::once("inspect".to_owned()).chain(args)).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli.inspect.run(&mut out, &mut err, terminal, PIPE).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&format!("{}/", dir.display()), "");
    (text(out), text(err), code == ExitCode::SUCCESS)
}

fn entry(path: &str, request: &Value, status: u16, answer: &Value) -> Value {
    json!({
        "startedDateTime": "2025-01-02T03:04:05.678Z", "time": 812,
        "timings": {"send": 1, "wait": 800, "receive": 11},
        "request": {
            "method": "POST", "url": format!("https://api.openai.com{path}"), "headers": [],
            "postData": {"mimeType": "application/json", "text": request.to_string()},
        },
        "response": {
            "status": status, "headers": [],
            "content": {"mimeType": "application/json", "text": answer.to_string()},
        },
    })
}

/// Entries of every kind.
fn mixed() -> Vec<Value> {
    let ask = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]});
    let answer = json!({
        "id": "chatcmpl-1", "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 80, "total_tokens": 1280,
            "prompt_tokens_details": {"cached_tokens": 1024}, "completion_tokens_details": {"reasoning_tokens": 64}},
    });
    let mut silent = answer.clone();
    silent.as_object_mut().unwrap().remove("usage");
    let chat = "/v1/chat/completions";
    let mut get = entry("/v1/models?limit=1", &json!({}), 200, &json!({"data": []}));
    get["request"]["method"] = json!("GET");
    let mut gone = entry(chat, &ask, 0, &json!({}));
    gone["response"]["_error"] = json!("net::ERR_ABORTED");
    gone["_id"] = json!("evil\u{1b}[2J\nrow");
    vec![
        entry(chat, &ask, 200, &answer),
        get,
        entry(chat, &ask, 200, &silent),
        entry(chat, &ask, 429, &json!({"error": {"type": "rate_limit_exceeded", "message": "Slow down"}})),
        gone,
        entry("/v1/telemetry", &json!({}), 204, &json!(null)),
    ]
}

fn write(dir: &Path, name: &str, entries: &[Value]) {
    let har = json!({"log": {"version": "1.2", "creator": {"name": "test", "version": "1"}, "entries": entries}});
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, har.to_string()).unwrap();
}

fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.har", &mixed());
    dir
}

#[test]
fn a_pipe_gets_the_whole_table() {
    let dir = folder();
    let (out, err, good) = run(dir.path(), PIPE, &["@a.har"]);
    assert_eq!((err.as_str(), good), ("", true));
    insta::assert_snapshot!(out);
}

#[test]
fn a_table_fits_the_terminal() {
    let dir = folder();
    for width in [60, 80, 100, 120, 160, 200] {
        for args in [["@a.har", "--all"].as_slice(), &["@a.har", "--explain"]] {
            let (out, ..) = run(dir.path(), columns(width), args);
            let widest = out.lines().filter(|line| !line.starts_with("no room")).map(text::width).max().unwrap();
            assert!(widest <= width, "{width}: {widest}\n{out}");
        }
    }
    // Without the directory's name, which is another one each time.
    let mut entries = mixed();
    for (index, entry) in entries.iter_mut().enumerate() {
        entry["_id"] = json!(format!("entry-{index}"));
    }
    write(dir.path(), "named.har", &entries);
    let shown = |width| run(dir.path(), columns(width), &["@named.har", "--all"]).0;
    insta::assert_snapshot!("a_table_in_60_columns", shown(60));
    insta::assert_snapshot!("a_table_in_120_columns", shown(120));
}

#[test]
fn everything_is_explained() {
    let dir = folder();
    let (out, _, good) = run(dir.path(), PIPE, &["@a.har", "--explain"]);
    assert!(good);
    insta::assert_snapshot!(out);
    let (out, ..) = run(dir.path(), PIPE, &["@a.har", "--explain", "--format", "jsonl"]);
    for line in out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["explain"].as_str().is_some_and(|why| !why.is_empty()), "{line}");
    }
}

#[test]
fn json_lines_are_records_in_the_order_of_the_entries() {
    let dir = folder();
    let (out, err, good) = run(dir.path(), PIPE, &["@a.har", "--format", "jsonl"]);
    assert_eq!((err.as_str(), good), ("", true));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids[..4], ["a.har#0", "a.har#1", "a.har#2", "a.har#3"]);
    assert_eq!(lines[1], json!({"id": "a.har#1", "detected": false}));
    assert_eq!(lines[0]["timing"]["total_duration_ms"], 812.0);
    assert_eq!(lines[0]["context"]["environment"], Value::Null, "a recording tells of none");
    assert_eq!((&lines[2]["usage"]["input"], &lines[2]["tokens_estimated"]), (&Value::Null, &json!(false)));
    for line in lines.iter().filter(|line| line["detected"] == true) {
        let record: CallRecord = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(serde_json::to_value(record).unwrap(), *line);
    }
    let (out, ..) = run(dir.path(), PIPE, &["@a.har", "--format", "jsonl", "--estimate"]);
    let third: Value = serde_json::from_str(out.lines().nth(2).unwrap()).unwrap();
    assert!(third["usage"]["input"].as_u64() > Some(0) && third["tokens_estimated"] == true);
}

#[test]
fn what_is_broken_is_named_and_the_rest_is_read() {
    let dir = folder();
    let whole = std::fs::read(dir.path().join("a.har")).unwrap();
    std::fs::write(dir.path().join("cut.har"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(dir.path().join("page.har"), "<html>").unwrap();
    std::fs::write(dir.path().join("other.har"), "{\"log\": 1}").unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    write(dir.path(), "sub/z.har", &mixed()[..1]);
    let files = ["@cut.har", "@gone.har", "@page.har", "@other.har", "@empty", "@sub"];
    let (out, err, good) = run(dir.path(), PIPE, &[files.as_slice(), &["--format", "jsonl"]].concat());
    assert!(!good);
    assert!(out.starts_with("{\"id\":\"cut.har#0\",\"detected\":true") && out.contains("\"sub/z.har#0\""), "{out}");
    let lines: Vec<_> = err.lines().collect();
    assert!(lines[0].starts_with("ai-tracing: gone.har: No such file"), "{err}");
    assert!(
        lines[1].starts_with("ai-tracing: ") && lines[1].ends_with("empty: no *.har or *.har.gz in this directory"),
        "{err}"
    );
    assert!(lines[2].starts_with("ai-tracing: cut.har: entry 2, byte "), "{err}");
    assert_eq!(lines[3], "ai-tracing: page.har: before the first entry, byte 0: a value expected");
    assert_eq!(lines[4..], ["ai-tracing: other.har: not a HAR file: it has no log.entries"]);
    let (out, ..) = run(dir.path(), PIPE, &files);
    assert!(out.ends_with("\n3 entries in 6 files, 2 LLM calls, 1 not LLM, 5 problems\n"), "{out}");
}

#[test]
fn long_input_streams_through_the_table() {
    let dir = TempDir::new().unwrap();
    let entries: Vec<Value> = mixed().into_iter().cycle().take(3000).collect();
    write(dir.path(), "long.har", &entries);
    let (out, ..) = run(dir.path(), columns(100), &["@long.har"]);
    assert_eq!(out.lines().filter(|line| line.contains("openai")).count(), 2000);
    assert!(out.lines().all(|line| text::width(line) <= 100), "rows that come later fit as well");
    assert!(out.ends_with("3000 entries in 1 file, 2000 LLM calls, 1000 not LLM\n"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    struct Gone(RefCell<usize>);
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            *self.0.borrow_mut() += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = folder();
    let file = dir.path().join("a.har").display().to_string();
    let cli = Cli::try_parse_from(["inspect", "--format", "jsonl", &file, &file, &file]).unwrap();
    let (mut out, mut err) = (Gone(RefCell::default()), Vec::new());
    assert_eq!(cli.inspect.run(&mut out, &mut err, PIPE, PIPE).unwrap(), ExitCode::SUCCESS);
    assert_eq!((out.0.into_inner(), err.as_slice()), (1, [].as_slice()), "the other files are not read");
}

#[test]
fn usage_is_checked() {
    let refused =
        |args: &[&str]| Cli::try_parse_from(["inspect"].iter().chain(args)).err().map(|error| error.exit_code());
    assert_eq!(refused(&[]), Some(2));
    assert_eq!(refused(&["--langfuse-endpoint", "http://x", "a.har"]), Some(2), "without --export");
    assert_eq!(refused(&["--format", "xml", "a.har"]), Some(2));
    assert_eq!(refused(&["-"]), None);
}

/// What the set-up says about a configuration.
fn setup(
    dir: &Path,
    config: Option<&str>,
    args: &[&str],
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<setup::Setup, String> {
    let file = dir.join("kong.yml").display().to_string();
    let mut all = vec!["inspect", "x.har"];
    all.extend_from_slice(args);
    if let Some(config) = config {
        std::fs::write(&file, config).unwrap();
        all.extend_from_slice(&["--config", &file]);
    }
    let cli = Cli::try_parse_from(all).unwrap();
    let setup = setup::Setup::new(&cli.inspect, lookup);
    setup.map_err(|error| format!("{error:#}").replace(&format!("{}/", dir.display()), ""))
}

#[test]
fn a_configuration_file_is_obeyed() {
    let dir = TempDir::new().unwrap();
    let plugin = |config: &str| format!("- {{name: ai-tracing, config: {config}}}\n");
    let file = |plugins: &str| format!("_format_version: '3.0'\nplugins:\n{plugins}");
    let none = |_: &str| None;
    let read = |config: &str| setup(dir.path(), Some(config), &[], &none);

    let rules = plugin("{environment: test, capture_content: metadata_only, max_body_size: 2000}");
    let settings = read(&file(&rules)).unwrap().settings;
    assert_eq!((settings.environment.as_str(), settings.limits.max_body_size), ("test", 2000));
    assert!(!settings.estimate_tokens);
    let error = |config: &str| read(config).err().unwrap();
    assert_eq!(error("_format_version: '3.0'\n"), "kong.yml: no ai-tracing plugin is enabled in it");
    assert!(error("[]").starts_with("kong.yml: "), "{}", error("[]"));
    assert!(error(&file(&plugin("{sampling_ratio: 2}"))).contains("sampling_ratio"));
    let error = setup(dir.path(), None, &["--config", "/nowhere/kong.yml"], &none).err().unwrap();
    assert!(error.starts_with("cannot read /nowhere/kong.yml"), "{error}");
}

#[test]
fn exporting_needs_both_keys() {
    let dir = TempDir::new().unwrap();
    let export = |set: &'static [&'static str]| {
        let lookup = move |name: &str| set.contains(&name).then(|| "value".to_owned());
        setup(dir.path(), None, &["--export", "--langfuse-endpoint", "http://127.0.0.1:9"], &lookup)
            .map(|setup| setup.courier.is_some())
    };
    let both = "--export: set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, or use --config with langfuse_enabled";
    assert_eq!(export(&[]), Err(both.to_owned()));
    let half = "--export: AI_TRACING_LANGFUSE_SECRET_KEY or LANGFUSE_SECRET_KEY is not set";
    assert_eq!(export(&["LANGFUSE_PUBLIC_KEY"]), Err(half.to_owned()));
    assert_eq!(export(&["LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"]), Ok(true));
}
