use std::path::Path;
use std::sync::Arc;

use ai_tracing_core::record::{CallError, CallRecord, Choice, Content, Cost, End, Operation, ToolCall, Usage};
use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::calls::fixtures::{SECOND, STARTED, chat, http, nth, with};
use crate::calls::{Retention, Store};
use crate::term::text;

const PIPE: Terminal = Terminal { is_terminal: false, width: None, colour: false };

const fn columns(width: usize) -> Terminal {
    Terminal { is_terminal: true, width: Some(width), colour: false }
}

fn store(records: &[Arc<CallRecord>]) -> TempDir {
    use ai_tracing_export::exporter::Exporter;
    let dir = TempDir::new().unwrap();
    let forever = Retention { max_age: Duration::from_secs(1 << 40), max_bytes: u64::MAX };
    let store = Store::open(dir.path(), forever).unwrap();
    let exporter = store.exporter();
    let rows = exporter.encode(records).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(exporter.send(&rows));
    store.close().unwrap();
    dir
}

/// What the command prints for these arguments.
fn run(dir: &Path, terminal: Terminal, args: &[&str]) -> Result<String> {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        traces: Traces,
    }
    let dir = dir.to_str().unwrap();
    let cli = Cli::try_parse_from(["traces", "--data-dir", dir].iter().chain(args))?;
    let mut out = Vec::new();
    cli.traces.run(&mut out, terminal)?;
    Ok(String::from_utf8(out)?)
}

/// A table as it looks at a fixed time.
fn table(records: &[Arc<CallRecord>], terminal: Terminal) -> String {
    let dir = store(records);
    let mut calls = Source::open(dir.path(), None, None).unwrap().list(&Filter::default(), 100).unwrap();
    calls.reverse();
    let now = At(STARTED.0 + 60 * SECOND);
    let listing = Listing::new(&calls, now, false, terminal);
    let mut out = Vec::new();
    listing.write_head(&mut out).unwrap();
    calls.iter().for_each(|call| listing.write_call(&mut out, call, now).unwrap());
    listing.write_foot(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Calls of every kind.
fn mixed() -> Vec<Arc<CallRecord>> {
    vec![
        with(0, |r| r.timing.started_at = At(STARTED.0 - 86_400 * SECOND)),
        with(1, |r| {
            r.route = None;
            r.name = "/generate".into();
            r.request.model = None;
            r.response.model = None;
            r.context.user_id = None;
            r.tokens_estimated = true;
            r.usage = Usage { input: Some(12), output: Some(34), ..Usage::default() };
            r.cost = None;
            r.timing.time_to_first_token_ms = None;
        }),
        with(2, |r| {
            r.usage = Usage { input: Some(0), output: Some(0), cache_read: Some(0), ..Usage::default() };
            r.cost = Some(Cost::default());
        }),
        with(3, |r| {
            r.status = Some(429);
            r.error = Some(CallError { kind: Some("rate_limit_exceeded".into()), message: None });
            r.usage = Usage::default();
            r.cost = None;
            r.timing.time_to_first_token_ms = None;
            r.timing.total_duration_ms = 3.2;
        }),
        with(4, |r| r.end = End::ClientGone),
        with(5, |r| {
            r.status = None;
            r.end = End::Timeout;
            r.usage = Usage::default();
            r.timing.total_duration_ms = 60_000.0;
        }),
        with(6, |r| r.error = Some(CallError::default())),
        with(7, |r| {
            r.route = Some("模型路由".into());
            r.request.model = Some("提供商/一个非常长的模型名称-32b-instruct".into());
            r.context.user_id = Some("josé👩‍💻".into());
        }),
    ]
}

#[test]
fn a_pipe_gets_the_whole_table() {
    insta::assert_snapshot!(table(&mixed(), PIPE));
}

#[test]
fn a_table_fits_the_terminal() {
    for width in [40, 60, 80, 100, 120, 200] {
        let table = table(&mixed(), columns(width));
        let widest = table.lines().filter(|line| !line.starts_with("no room")).map(text::width).max().unwrap();
        // Below 60 columns the columns that nobody can do without overflow, and lines wrap.
        assert!(widest <= width.max(60), "{width}: {widest}\n{table}");
    }
    insta::assert_snapshot!("a_table_in_80_columns", table(&mixed(), columns(80)));
    insta::assert_snapshot!("a_table_in_100_columns", table(&mixed(), columns(100)));
}

#[test]
fn colours_are_the_terminals_choice() {
    let colour = Terminal { is_terminal: true, width: Some(120), colour: true };
    insta::assert_snapshot!(table(&mixed()[3..5], colour).replace('\x1b', "ESC"));
    assert!(!table(&mixed(), columns(120)).contains('\x1b'));
}

/// A trace full of what an attacker would send.
fn hostile() -> Arc<CallRecord> {
    let evil = "\x1b[2J\x1b]0;owned\x07\r\nfake row\u{9b}31m\u{202e}\0";
    with(1, |r| {
        r.name = format!("/{evil}");
        r.method = evil.into();
        r.route = Some(evil.into());
        r.service = Some(evil.into());
        r.provider = evil.into();
        r.dialect = evil.into();
        r.tracestate = Some(evil.into());
        r.request.model = Some(evil.into());
        r.context.user_id = Some(evil.into());
        r.context.session_id = Some(evil.into());
        r.context.metadata.insert(evil.into(), evil.into());
        r.request.params.other.insert(evil.into(), evil.into());
        r.request.tools.push(evil.into());
        for message in &mut r.request.messages {
            message.role = evil.into();
            message.name = Some(evil.into());
            message.content = Some(Content::Text(evil.into()));
            message.tool_call_id = Some(evil.into());
        }
        let call = ToolCall { id: Some(evil.into()), name: Some(evil.into()), arguments: Some(evil.into()) };
        r.response.text = Some(evil.into());
        r.response.reasoning = Some(evil.into());
        r.response.refusal = Some(evil.into());
        r.response.model = Some(evil.into());
        r.response.id = Some(evil.into());
        r.response.finish_reasons = vec![evil.into()];
        r.response.tool_calls = vec![call];
        r.response.more_choices = vec![Choice { text: Some(evil.into()), ..Choice::default() }];
        r.response.extra.insert(evil.into(), evil.into());
        r.error = Some(CallError { kind: Some(evil.into()), message: Some(evil.into()) });
        r.issues = vec![evil.into()];
    })
}
#[test]
fn hostile_text_is_neutralised_everywhere() {
    let dir = store(&[hostile()]);
    for terminal in [PIPE, columns(80), columns(200)] {
        for args in [&[][..], &["show", "019b"]] {
            let shown = run(dir.path(), terminal, args).unwrap();
            let bad: Vec<_> = shown.chars().filter(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}')).collect();
            assert!(bad.is_empty(), "{bad:?} in {args:?}: {shown}");
            assert!(shown.contains("\\x1b"), "{shown}");
        }
    }
    let list = run(dir.path(), columns(200), &[]).unwrap();
    assert_eq!(list.lines().count(), 2, "no row can be forged: {list}");
    for args in [&["--format", "jsonl"][..], &["show", "019b", "--format", "json"]] {
        let shown = run(dir.path(), columns(80), args).unwrap();
        assert!(!shown.chars().any(|c| c != '\n' && c.is_control()), "{shown}");
        assert_eq!(serde_json::from_str::<CallRecord>(&shown).unwrap(), *hostile());
    }
}

#[test]
fn jsonl_is_what_was_stored() {
    let records: Vec<_> = mixed().into_iter().chain([hostile()]).collect();
    let dir = store(&records[..8]);
    let lines: String =
        records[..8].iter().map(|record| serde_json::to_string(record.as_ref()).unwrap() + "\n").collect();
    assert_eq!(run(dir.path(), PIPE, &["--format", "jsonl"]).unwrap(), lines);

    let dir = store(&records[8..]);
    let line = serde_json::to_string(records[8].as_ref()).unwrap() + "\n";
    assert_eq!(run(dir.path(), PIPE, &["--format", "jsonl"]).unwrap(), line);
}

#[test]
fn the_newest_stands_last_and_limits_count_from_there() {
    let dir = store(&(0..30).map(|n| Arc::new(nth(n))).collect::<Vec<_>>());
    let ids = |args: &[&str]| -> Vec<String> {
        let args: Vec<_> = ["--format", "jsonl"].iter().chain(args).copied().collect();
        let text = run(dir.path(), PIPE, &args).unwrap();
        text.lines().map(|line| serde_json::from_str::<CallRecord>(line).unwrap().id).collect()
    };
    assert_eq!(ids(&[]), (10..30).map(|n| nth(n).id).collect::<Vec<_>>());
    assert_eq!(ids(&["-n", "2"]), [28, 29].map(|n| nth(n).id));
    assert_eq!(ids(&["--user", "nobody"]), [""; 0]);
    assert_eq!(ids(&["--since", "2026-01-02T03:04:34Z"]), [nth(29).id]);
    assert_eq!(ids(&["--until", "2026-01-02T03:04:07Z", "--model", "gpt-4o*"]), [0, 1].map(|n| nth(n).id));
}

#[test]
fn show_prints_every_part() {
    let dir = store(&[Arc::new(chat())]);
    insta::assert_snapshot!(run(dir.path(), columns(80), &["show", "4bf92f35"]).unwrap());
}

#[test]
fn show_prints_the_http_exchange_or_why_there_is_none() {
    let kept = with(1, |record| record.http = Some(Box::new(http())));
    let same_trace = with(2, |record| record.trace_id.clone_from(&kept.trace_id));
    let dir = store(&[Arc::clone(&kept), Arc::clone(&same_trace)]);
    let show = |id: &str| run(dir.path(), PIPE, &["show", id, "--format", "http"]);
    let shown: serde_json::Value = serde_json::from_str(&show(&kept.id).unwrap()).unwrap();
    assert_eq!(shown, serde_json::to_value(http()).unwrap());
    assert_eq!(show(&same_trace.id).unwrap_err().to_string(), NO_HTTP);
    assert!(show(&kept.trace_id).unwrap().ends_with("}\nnull\n"), "one after the other");
}

#[test]
fn show_of_a_call_with_little_known() {
    let record = with(1, |r| {
        *r = serde_json::from_value(serde_json::json!({
            "id": r.id, "detected": true, "schema_version": 1, "provider": "vllm", "dialect": "vllm_generate",
            "operation": "text_completion", "stream": false, "trace_id": r.trace_id, "span_id": r.span_id,
            "name": "/generate", "method": "POST", "server": {}, "context": {}, "tokens_estimated": true,
            "request": {"params": {}}, "response": {}, "usage": {"input": 3},
            "timing": {"started_at": "2026-01-02T03:04:05Z", "total_duration_ms": 5000.0},
            "end": "timeout", "issues": ["the answer was cut after 4194304 bytes"]
        }))
        .unwrap();
    });
    let dir = store(&[record]);
    insta::assert_snapshot!(run(dir.path(), columns(80), &["show", &nth(1).id]).unwrap());
}

#[test]
fn show_of_embeddings_tool_calls_and_errors() {
    let record = with(1, |r| {
        r.operation = Operation::Embeddings;
        r.response.text = None;
        r.response.embedding_dims = Some(1536);
        r.response.embedding_count = Some(2);
        r.response.tool_calls = vec![ToolCall {
            id: Some("call_2".into()),
            name: Some("get_weather".into()),
            arguments: Some("{\"city\":\"Rome\"}".into()),
        }];
        r.status = Some(500);
        r.error = Some(CallError { kind: Some("server_error".into()), message: Some("overloaded\nsorry".into()) });
    });
    let dir = store(&[record]);
    let shown = run(dir.path(), PIPE, &["show", &nth(1).id]).unwrap();
    let (_, end) = shown.split_once("Answer").unwrap();
    insta::assert_snapshot!(end);
}

#[test]
fn long_texts_are_wrapped_unless_cut_on_demand() {
    let long = "word ".repeat(400);
    let dir = store(&[with(1, |r| r.response.text = Some(long.clone()))]);
    let shown = run(dir.path(), columns(60), &["show", &nth(1).id]).unwrap();
    assert!(shown.lines().all(|line| text::width(line) <= 60), "{shown}");
    assert_eq!(shown.matches("word").count(), 400);
    let cut = run(dir.path(), columns(60), &["show", &nth(1).id, "--max-text", "50"]).unwrap();
    assert_eq!(cut.matches("word").count(), 10);
    assert!(cut.contains("… (2000 characters in all)"), "{cut}");
}

#[test]
fn all_calls_of_a_trace_are_shown() {
    let trace = nth(1).trace_id;
    let dir = store(&[Arc::new(nth(1)), with(2, |r| r.trace_id.clone_from(&trace)), Arc::new(nth(3))]);
    let shown = run(dir.path(), PIPE, &["show", &trace[..8], "--format", "json"]).unwrap();
    let ids: Vec<_> =
        serde_json::Deserializer::from_str(&shown).into_iter::<CallRecord>().map(|record| record.unwrap().id).collect();
    assert_eq!(ids, [1, 2].map(|n| nth(n).id));
}

#[test]
fn what_cannot_be_shown_says_so() {
    let dir = store(&[Arc::new(nth(1)), Arc::new(nth(2))]);
    let error = |args: &[&str]| run(dir.path(), PIPE, args).unwrap_err().to_string();
    assert_eq!(error(&["show", "no\x1bsuch"]), "no call or trace with the id no\\x1bsuch");
    let ambiguous = error(&["show", "019b"]);
    assert!(ambiguous.starts_with("several calls begin with 019b, such as:\n  019b7da0-"), "{ambiguous}");
    assert!(error(&["--errors", "show", "019b"]).contains("filters do not go with it"));
    assert!(error(&["--since", "soon"]).contains("15m, 1h or 7d"));

    let nowhere = TempDir::new().unwrap();
    let missing = run(nowhere.path(), PIPE, &[]).unwrap_err().to_string();
    assert!(missing.contains("start the gateway") && missing.contains("--data-dir"), "{missing}");
    assert_eq!(missing.lines().count(), 1);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = store(&[Arc::new(nth(1))]);
    let traces = |command: Option<Command>| Traces {
        list: List { limit: 20, follow: command.is_none(), format: ListFormat::Table, filter: FilterArgs::default() },
        command,
        data_dir: dir.path().to_owned(),
        url: None,
        console_token: None,
    };
    traces(None).run(&mut Gone, PIPE).unwrap();
    let show = Show { id: nth(1).id, format: ShowFormat::Text, max_text: None };
    traces(Some(Command::Show(show))).run(&mut Gone, PIPE).unwrap();
}
