//! `ai-tracing demo` as a person runs it: the gateway, its Admin API, its proxy and its local store as one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn demo(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ai-tracing"));
    // The settings of somebody's own gateway do not reach the demo's.
    command.arg("demo").env("TMPDIR", temporary).env("AI_TRACING_CONFIG", "/nonexistent").stdin(Stdio::null());
    command
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

#[test]
fn the_demo_shows_every_trace() {
    let temporary = tempfile::tempdir().unwrap();
    let done = demo(temporary.path()).output().unwrap();
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert!(done.status.success(), "{out}\n{err}");
    assert_eq!(err, "");
    for part in ["11 of 11", "200 client_gone", "429", "~13/-/", "You are a helpful assistant.", "LANGFUSE_SECRET_KEY"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!out.contains('\x1b'), "no colours into a pipe: {out}");
    assert!(is_empty(temporary.path()), "nothing is left behind");
}

#[test]
fn a_demo_that_is_kept_ends_when_told() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child: Child = demo(temporary.path()).arg("--keep").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let hint = lines.find(|line| line.contains("traces --follow --data-dir"));
    assert!(hint.is_some(), "{:?}", child.wait());
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(is_empty(temporary.path()), "nothing is left behind");
}
