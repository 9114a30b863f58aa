//! The gateway as a child process: this binary's own `start`.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Longest wait for the line that says that the gateway is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for a stop in good order.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Lines of the gateway's log that an error quotes.
const QUOTED_LINES: usize = 10;

/// Where the gateway listens: host:port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub proxy: String,
    pub admin: String,
    pub console: String,
}

/// A running gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    log: PathBuf,
    pub addresses: Addresses,
}

impl Gateway {
    /// Starts the gateway on free ports and waits until it is ready.
    ///
    /// # Errors
    /// It does not start, or does not get ready.
    pub async fn start(data: &Path) -> Result<Self> {
        let log = data.join("gateway.log");
        let log_file = File::create(&log).context("cannot make the gateway's log")?;
        let mut command = Command::new(env::current_exe().context("cannot find this program")?);
        command.arg("start").arg("--data-dir").arg(data);
        for listen in ["--proxy-listen", "--admin-listen", "--status-listen", "--console-listen"] {
            command.args([listen, "127.0.0.1:0"]);
        }
        // The demo is the same whatever the caller's own gateway is told.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("AI_TRACING_") || name.starts_with("LANGFUSE_") {
                command.env_remove(name.as_ref());
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file.try_clone()?);
        let mut child = command.spawn().context("cannot start the gateway")?;
        let lines = child.stdout.take().context("the gateway has no output")?;
        let (ready, readied) = oneshot::channel();
        std::thread::Builder::new()
            .name("demo-gateway-output".into())
            .spawn(move || keep_output(BufReader::new(lines), log_file, ready))?;
        let unready = Addresses { proxy: String::new(), admin: String::new(), console: String::new() };
        let mut gateway = Self { child, log, addresses: unready };
        match tokio::time::timeout(READY_TIMEOUT, readied).await {
            Ok(Ok(addresses)) => gateway.addresses = addresses,
            Ok(Err(_)) => bail!("the gateway ended before it was ready\n{}", gateway.last_words()),
            Err(_) => bail!("the gateway is not ready after {} s\n{}", READY_TIMEOUT.as_secs(), gateway.last_words()),
        }
        Ok(gateway)
    }

    /// The end of the gateway's log, for an error.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(QUOTED_LINES).collect();
        let lines: Vec<_> =
            lines.into_iter().rev().map(|line| format!("  {}", crate::term::text::line(line))).collect();
        format!("the gateway's log ends with:\n{}", lines.join("\n"))
    }

    /// Asks the gateway to stop and waits for it.
    pub async fn stop(&mut self) {
        // An interrupt from the terminal has reached the child as well; a second request does no harm.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.ended().is_none() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits for Ctrl-C, for being told to end, or for the terminal to be closed.
///
/// # Errors
/// Signals cannot be watched.
pub async fn interrupted() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Copies the gateway's output to its log, so that its pipe never fills, and picks the ready line out.
fn keep_output(lines: impl BufRead, mut log: File, ready: oneshot::Sender<Addresses>) {
    let mut ready = Some(ready);
    for line in lines.lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        if let Some(addresses) = addresses(&line)
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(addresses);
        }
    }
}

/// The addresses of a ready line; `None` for any other line.
pub(super) fn addresses(line: &str) -> Option<Addresses> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |pointer: &str| Some(line.pointer(pointer)?.as_str()?.to_owned());
    (line.get("event")? == "ready").then_some(())?;
    // The proxy may listen on several.
    Some(Addresses { proxy: address("/proxy/0")?, admin: address("/admin")?, console: address("/console")? })
}
