//! `ai-tracing start` as an operator sees it: lines, exit codes, signals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test says so at once

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

const FREE_PORTS: [&str; 4] = ["--proxy-listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"];

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ai-tracing"));
    command.env_clear().env("AI_TRACING_ADMIN_LISTEN", "off").env("AI_TRACING_CONSOLE_LISTEN", "off");
    command.arg("start").arg("--data-dir").arg(data).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a start that is expected to fail.
fn fails(arguments: &[&str]) -> (Option<i32>, String) {
    let data = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = command(data.path(), arguments).output().unwrap();
    assert_eq!(String::from_utf8(stdout).unwrap(), "");
    (status.code(), String::from_utf8(stderr).unwrap())
}

struct Gateway {
    child: Child,
    ready: Value,
    log: BufReader<std::process::ChildStderr>,
}

impl Gateway {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = command(data, &[&FREE_PORTS, arguments].concat()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, ready: serde_json::from_str(&line).unwrap(), log }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Reads the log up to the line with `message`.
    fn logged(&mut self, message: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "the log ended before {message:?}");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"].as_str().unwrap().starts_with(message) {
                return line;
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.ready["proxy"][0].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn one_line_says_where_it_serves_and_sigterm_ends_it_in_order() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let data = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(data.path(), &["--upstream", &url, "--workers", "1"]);
    assert_eq!((&gateway.ready["event"], &gateway.ready["admin"]), (&json!("ready"), &Value::Null));
    assert_eq!(gateway.ready["version"], env!("CARGO_PKG_VERSION"));

    // A call under way when the signal comes is finished, answered and traced.
    let mut client = gateway.connect();
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    write!(
        client,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nX-User-Id: user-1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let (mut peer, _) = upstream.accept().unwrap();
    read_head(&mut peer);
    gateway.signal("TERM");
    gateway.logged("stopping");
    let answer = r#"{"choices":[{"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;
    write!(peer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    let mut answered = String::new();
    client.read_to_string(&mut answered).unwrap();
    assert!(answered.ends_with(answer), "{answered}");
    let line = gateway.logged("AI Tracing");
    assert_eq!((&line["end"], &line["user_id"], &line["status"]), (&json!("complete"), &json!("user-1"), &json!(200)));
    assert_eq!(gateway.logged("stopped")["left"], 0);
    assert_eq!(gateway.child.wait().unwrap().code(), Some(0));
    assert!(data.path().join("traces.db").exists());
}

#[test]
fn an_upstream_that_breaks_off_is_in_the_log() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let data = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(data.path(), &["--upstream", &url]);
    let mut client = gateway.connect();
    write!(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let (mut peer, _) = upstream.accept().unwrap();
    read_head(&mut peer);
    write!(peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf").unwrap();
    read_head(&mut client);
    drop(peer);
    let line = gateway.logged("the upstream did not finish its answer");
    assert_eq!((&line["service"], &line["level"]), (&json!("upstream"), &json!("WARN")));
    assert!(line["error"].as_str().unwrap().starts_with("the upstream broke off: "), "{line}");
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn a_second_signal_cuts_what_is_under_way() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let data = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(data.path(), &["--upstream", &url]);
    let mut client = gateway.connect();
    write!(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let (mut peer, _) = upstream.accept().unwrap();
    read_head(&mut peer);
    gateway.signal("TERM");
    gateway.logged("stopping");
    gateway.signal("INT");
    assert_eq!(gateway.child.wait().unwrap().code(), Some(0));
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
}

const FILE: &str = "_format_version: '3.0'\nservices:\n- {name: s, url: 'http://127.0.0.1:1', retries: 0, routes: [{name: r, paths: [/PATH]}]}\n";

#[test]
fn sighup_reads_the_file_again_and_keeps_the_old_one_when_the_new_one_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kong.yml");
    std::fs::write(&file, FILE.replace("PATH", "one")).unwrap();
    let mut gateway = Gateway::start(folder.path(), &["--config", file.to_str().unwrap()]);
    assert!(gateway.get("/one").starts_with("HTTP/1.1 502 "));
    assert!(gateway.get("/two").starts_with("HTTP/1.1 404 "));
    std::fs::write(&file, FILE.replace("PATH", "two")).unwrap();
    gateway.signal("HUP");
    gateway.logged("configuration reloaded");
    assert!(gateway.get("/one").starts_with("HTTP/1.1 404 "));
    assert!(gateway.get("/two").starts_with("HTTP/1.1 502 "));
    std::fs::write(&file, FILE.replace("PATH", "three").replace("retries: 0", "retries: many")).unwrap();
    gateway.signal("HUP");
    let line = gateway.logged("reload failed");
    assert!(line["message"].as_str().unwrap().contains("services[0].retries: "), "{line}");
    assert!(gateway.get("/two").starts_with("HTTP/1.1 502 "));
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn what_cannot_start_says_why_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kong.yml");
    let plugin = "_format_version: '3.0'\nplugins:\n- {name: ai-tracing, config: {langfuse_enabled: true, langfuse_secret_key: s3cret}}\n";
    std::fs::write(&file, plugin).unwrap();
    let file = file.to_str().unwrap();
    let table: [(&[&str], &str); 8] = [
        (&["--config", file, "--upstream", "http://h"], "cannot be used together"),
        (&["--upstream", "h"], "--upstream: not an address"),
        (&["--config", file], "plugins[0].config.langfuse_public_key: required when langfuse_enabled is true"),
        (&["--config", "/nowhere/kong.yml"], "cannot read /nowhere/kong.yml"),
        (&["--proxy-listen", &taken], "cannot listen on"),
        (&["--proxy-listen", "127.0.0.1:0", "--admin-listen", &taken], "cannot listen on"),
        (&["--proxy-listen", "127.0.0.1:0 ssl"], "ssl needs --ssl-cert"),
        (&["--proxy-listen", "8000"], "--proxy-listen: 8000: not an address"),
    ];
    for (arguments, why) in table {
        let (code, said) = fails(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("ai-tracing: ") && said.contains(why), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert_eq!(fails(&["--no-such-flag"]).0, Some(2));
    let nowhere = command(Path::new("/proc/nowhere"), &[]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("cannot create /proc/nowhere"));
}
