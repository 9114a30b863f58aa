//! `ai-tracing demo`: everything once, on this machine, with no keys and no network.
//!
//! A simulated LLM ([`llm`]) and the gateway ([`gateway`], the same binary's `start` as a child process) listen on free
//! ports; the gateway is configured through its Admin API, [`calls`] are sent through its proxy, and their traces are
//! awaited in its local store. A trace that is missing, or tells something else than what happened, is an error: the
//! demo is a smoke test as well.

mod calls;
mod client;
mod gateway;
mod llm;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use ai_tracing_core::record::CallRecord;
use ai_tracing_core::time::At;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;

use self::calls::{Call, calls};
use self::client::Client;
use self::gateway::{Addresses, Gateway};
use crate::calls::query::{Filter, Position, Reader, Summary};
use crate::cli::traces::{Listing, write_call};
use crate::term::format::duration;
use crate::term::text::clip;
use crate::term::{Style, Terminal};

/// Longest wait for the traces of calls that have ended.
const TRACES_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the store is asked meanwhile.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// A request for people to send.
const TRY: &str = r#"{"model": "gpt-4", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}"#;
/// Name of the service in the gateway.
const SERVICE: &str = "ai-service";
/// Routes of the service: name and path.
const ROUTES: [(&str, &str); 4] = [
    ("chat", "/v1/chat/completions"),
    ("completions", "/v1/completions"),
    ("embeddings", "/v1/embeddings"),
    ("vllm", "/generate"),
];

/// Runs the demo. With `keep`, everything stays up until the process is interrupted.
///
/// # Errors
/// Something does not start or answer, or a trace is missing or wrong.
pub async fn run(keep: bool, out: &mut dyn Write, terminal: Terminal) -> Result<()> {
    let data = tempfile::Builder::new().prefix("ai-tracing-demo-").tempdir().context("cannot make a directory")?;
    let mut show = Show { out, terminal };
    let llm = llm::start(llm::Pace::default()).await.context("cannot start the simulated LLM")?;
    let mut gateway = Gateway::start(data.path()).await?;
    let (addresses, shown) = (gateway.addresses.clone(), Cell::new(false));
    let work = async {
        show_all(&mut show, &addresses, &format!("http://{llm}"), data.path()).await?;
        shown.set(true);
        if !keep {
            return show.next_steps();
        }
        show.what_to_try(&addresses, data.path())?;
        std::future::pending().await
    };
    let done = tokio::select! {
        done = work => done.map_err(|error| anyhow!("{error:#}\n{}", gateway.last_words())),
        interrupted = gateway::interrupted() => interrupted.context("cannot watch signals").and_then(|()| {
            if shown.get() { Ok(()) } else { bail!("interrupted") }
        }),
    };
    gateway.stop().await;
    done
}

async fn show_all(show: &mut Show<'_>, addresses: &Addresses, llm: &str, data: &Path) -> Result<()> {
    show.step("Started")?;
    show.line(&format!("simulated LLM  {llm}"))?;
    show.line(&format!("gateway        http://{}  (Admin API http://{})", addresses.proxy, addresses.admin))?;
    show.line(&format!("console        http://{}", addresses.console))?;

    let client = Client::new();
    show.step("Configuring the gateway through its Admin API")?;
    configure(show, &client, &addresses.admin, llm).await?;

    let calls = calls();
    show.step(&format!("Sending {} calls through the gateway", calls.len()))?;
    for call in &calls {
        send(show, &client, &addresses.proxy, call).await?;
    }

    show.step("Waiting for their traces")?;
    let traces = wait_for_traces(data, &calls, Instant::now() + TRACES_TIMEOUT).await?;
    show.line(&format!("{} of {} are in the local store", traces.len(), calls.len()))?;
    let traces = ordered(&calls, traces)?;
    show.step("ai-tracing traces")?;
    show.table(&traces)?;
    if let Some((summary, record)) = calls.iter().zip(&traces).find_map(|(call, trace)| call.shown.then_some(trace)) {
        let id: String = summary.trace_id.chars().take(8).collect();
        show.step(&format!("ai-tracing traces show {id}"))?;
        write_call(show.out, record, None, show.terminal)?;
    }
    calls.iter().zip(&traces).try_for_each(|(call, (_, record))| call.check(record))
}

/// Creates the service, its routes and the plugin on it, the last one as a form: both are what people's scripts do.
async fn configure(show: &mut Show<'_>, client: &Client, admin: &str, llm: &str) -> Result<()> {
    let mut requests = vec![("/services".to_owned(), json!({"name": SERVICE, "url": llm}).to_string())];
    let routes = format!("/services/{SERVICE}/routes");
    for (name, path) in ROUTES {
        requests.push((routes.clone(), json!({"name": name, "paths": [path], "strip_path": false}).to_string()));
    }
    requests.push((format!("/services/{SERVICE}/plugins"), "name=ai-tracing&config.environment=demo".to_owned()));
    for (path, body) in requests {
        let media_type = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        let answer = client.post(admin, &path, &[("content-type", media_type)], body.clone()).await?.all().await?;
        show.glance(&format!("POST {path:<32} {}  {body}", answer.status))?;
        ensure!(answer.status == 201, "the Admin API answered {}: {}", answer.status, answer.text());
    }
    Ok(())
}

async fn send(show: &mut Show<'_>, client: &Client, proxy: &str, call: &Call) -> Result<()> {
    let began = Instant::now();
    let headers: Vec<_> = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = client.post(proxy, call.path, &headers, call.body.to_string()).await?;
    let status = answer.status();
    let what = match call.hang_up_after {
        Some(pieces) => {
            answer.hang_up_after(pieces).await?;
            " hung up"
        }
        None => {
            answer.all().await?;
            ""
        }
    };
    let took = duration(began.elapsed().as_secs_f64() * 1e3);
    show.line(&format!("{:<44} {status}  {took:>6}{what}", call.title))?;
    ensure!(status == call.status, "{}: the gateway answered {status} instead of {}", call.title, call.status);
    Ok(())
}

/// Follows the store until every call's trace is there.
async fn wait_for_traces(data: &Path, calls: &[Call], deadline: Instant) -> Result<Vec<(Summary, CallRecord)>> {
    let (mut traces, mut position) = (Vec::new(), Position::default());
    let reader = Reader::open(data)?;
    loop {
        for summary in reader.follow(&mut position, &Filter::default())? {
            let json = reader.record(summary.seq)?.context("a trace vanished from the store")?;
            traces.push((summary, serde_json::from_str::<CallRecord>(&json)?));
        }
        if traces.len() >= calls.len() {
            return Ok(traces);
        }
        if Instant::now() > deadline {
            let missing = |call: &&Call| !traces.iter().any(|(_, record)| call.is_of(record));
            let titles: Vec<_> = calls.iter().filter(missing).map(|call| call.title).collect();
            bail!("no trace in time of: {}", titles.join(", "));
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// The traces in the order of the calls, one of each.
fn ordered(calls: &[Call], mut traces: Vec<(Summary, CallRecord)>) -> Result<Vec<(Summary, CallRecord)>> {
    let mut ordered = Vec::with_capacity(calls.len());
    for call in calls {
        let index = traces.iter().position(|(_, record)| call.is_of(record));
        let index = index.with_context(|| format!("{}: its trace is missing", call.title))?;
        ordered.push(traces.swap_remove(index));
    }
    ensure!(traces.is_empty(), "{} traces too many", traces.len());
    Ok(ordered)
}

/// What the demo prints with.
struct Show<'a> {
    out: &'a mut dyn Write,
    terminal: Terminal,
}

impl Show<'_> {
    fn step(&mut self, what: &str) -> Result<()> {
        writeln!(self.out, "\n{}", self.terminal.paint(Style::Bold, what))?;
        Ok(self.out.flush()?)
    }

    /// A line that may be cut to the terminal's width.
    fn glance(&mut self, text: &str) -> Result<()> {
        let room = self.terminal.width.map_or(usize::MAX, |width| width.saturating_sub(2));
        self.line(&clip(text, room))
    }

    fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "  {text}")?;
        Ok(self.out.flush()?)
    }

    fn table(&mut self, traces: &[(Summary, CallRecord)]) -> Result<()> {
        let calls: Vec<_> = traces.iter().map(|(summary, _)| summary.clone()).collect();
        let now = calls.last().map_or(At(0), |call| call.started_at);
        let listing = Listing::new(&calls, now, false, self.terminal);
        listing.write_head(self.out)?;
        for call in &calls {
            listing.write_call(self.out, call, now)?;
        }
        Ok(listing.write_foot(self.out)?)
    }

    fn what_to_try(&mut self, addresses: &Addresses, data: &Path) -> Result<()> {
        let Addresses { proxy, admin, console } = addresses;
        self.step("Everything stays up until Ctrl-C. Try")?;
        self.line(&format!("http://{console} in a browser"))?;
        self.line(&format!("curl http://{proxy}/v1/chat/completions -H 'X-User-Id: me' -d '{TRY}'"))?;
        self.line(&format!("curl http://{admin}/services/{SERVICE}/plugins"))?;
        self.line(&format!("ai-tracing traces --follow --data-dir {}", data.display()))
    }

    fn next_steps(&mut self) -> Result<()> {
        let start = "ai-tracing start --upstream https://api.openai.com";
        self.step("Next")?;
        self.line(&format!("trace a real LLM API     {start}"))?;
        self.line(&format!(
            "and send it to Langfuse  LANGFUSE_PUBLIC_KEY=pk-lf-... LANGFUSE_SECRET_KEY=sk-lf-... {start}"
        ))
    }
}
