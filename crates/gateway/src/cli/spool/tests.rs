use std::fs;

use clap::Parser;
use tempfile::TempDir;

use super::*;

const PIPE: Terminal = Terminal { is_terminal: false, width: None, colour: false };

/// What the command prints for these arguments.
fn run(dir: &Path, args: &[&str]) -> Result<String> {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        spool: Spool,
    }
    let dir = dir.to_str().unwrap();
    let cli = Cli::try_parse_from(["spool", "--data-dir", dir].iter().chain(args))?;
    let mut out = Vec::new();
    cli.spool.run(&mut out, PIPE)?;
    Ok(String::from_utf8(out)?)
}

/// A data directory with five refused traces.
fn refused() -> TempDir {
    let dir = TempDir::new().unwrap();
    let dead = dir.path().join("spool/dead");
    fs::create_dir_all(&dead).unwrap();
    let line = |label: &str, lane: u8, why: &str, id: u8| {
        let lane = format!("{lane:032x}");
        format!(
            r#"{{"at":"2026-01-02T03:04:0{id}.000000Z","lane":"{lane}","label":"{label}","why":"{why}","record":{{"id":{id}}}}}"#
        ) + "\n"
    };
    let text: String = (0..5)
        .map(|id| match id {
            0 | 1 => line("langfuse https://lf.example", 1, "HTTP 400: no such \\u001b[31mproject", id),
            2 => line("langfuse https://lf.example", 1, "HTTP 413", id),
            _ => line("otlp https://otlp.example", 2, "HTTP 400", id),
        })
        .collect();
    fs::write(dead.join("0197f0c2-1111-7abc-8def-0123456789ab.jsonl"), text + "not a letter\n").unwrap();
    dir
}

fn table(dir: &Path) -> String {
    let now = At::from_rfc3339("2026-01-02T10:00:00Z").unwrap();
    let mut out = Vec::new();
    list(&dir.join("spool"), Format::Table, &mut out, now, PIPE).unwrap();
    String::from_utf8(out).unwrap().replace(dir.to_str().unwrap(), "DATA")
}

#[test]
fn an_empty_spool_says_so_and_a_missing_directory_is_an_error() {
    let dir = TempDir::new().unwrap();
    assert_eq!(run(dir.path(), &["list"]).unwrap(), "nothing waits\n");
    assert_eq!(run(dir.path(), &["list", "--format", "jsonl"]).unwrap(), "");
    assert_eq!(run(dir.path(), &["retry"]).unwrap(), "0 traces to be sent again\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is made");
    let error = run(&dir.path().join("nowhere"), &["list"]).unwrap_err().to_string();
    assert!(error.starts_with("there is no data directory /"), "{error}");
}

#[test]
fn refused_traces_are_listed_retried_and_purged() {
    let dir = refused();
    insta::assert_snapshot!(table(dir.path()), @r"
    nothing waits

    DESTINATION                  REFUSED  SIZE  OLDEST    REASON
    langfuse https://lf.example        2  16 B  03:04:00  HTTP 400: no such \x1b[31mproject
    langfuse https://lf.example        1   8 B  03:04:02  HTTP 413
    otlp https://otlp.example          2  16 B  03:04:03  HTTP 400
    unreadable lines under DATA/spool/dead: 1
    ");
    assert_eq!(
        run(dir.path(), &["retry", "--destination", "langfuse https://lf.example"]).unwrap(),
        "3 traces to be sent again\n"
    );
    let words: Vec<_> = table(dir.path()).lines().take(2).map(str::to_owned).collect();
    assert!(words[0].starts_with("DESTINATION                  WAITING  SIZE  OLDEST"), "{words:?}");
    assert!(words[1].starts_with("langfuse https://lf.example        3  24 B  "), "{words:?}");
    assert!(words[1].ends_with("  ended"), "{words:?}");
    let lines = run(dir.path(), &["list", "--format", "jsonl"]).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["records"], &lines[0]["lives"]),
        (&"waiting".into(), &3.into(), &false.into())
    );
    assert_eq!(lines[1]["oldest"], "2026-01-02T03:04:03.000000Z");
    assert_eq!(lines[1]["kind"], "refused");

    assert_eq!(run(dir.path(), &["purge", "--destination", "x"]).unwrap(), "0 traces deleted that had been refused\n");
    assert_eq!(
        run(dir.path(), &["purge", "--waiting"]).unwrap(),
        "2 traces deleted that had been refused\n3 traces deleted that waited\n"
    );
    assert_eq!(run(dir.path(), &["list"]).unwrap().lines().next(), Some("nothing waits"));
}
