//! `ai-tracing traces`: what the local store holds, as a table, as JSON lines, or one call in full.

mod api;
mod list;
pub mod parse;
mod show;
mod source;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use ai_tracing_core::time::At;
use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::options::Secret;
use super::shown_json;
use crate::calls::query::{Filter, Found, NO_HTTP, Order, Summary};
use crate::term::Terminal;
use crate::term::text::line;
use ai_tracing_export::clock::now;

pub use list::Listing;
pub use show::write_call;
use source::Source;

/// Calls of a trace that are read at once.
const PAGE: usize = 100;

/// Lists the traced calls, or shows one.
///
/// Lists like a log: the newest call stands last, times are UTC. Reads the file, so it works while the gateway runs and
/// when it does not; with --url it asks a gateway that runs, here or elsewhere, and prints the same.
///
/// `-` is unknown, `~` before token counts says that they are estimated. On a narrow terminal the least needed columns
/// are left out and named below the table; a pipe gets them all.
#[derive(Args, Debug)]
pub struct Traces {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
    /// Directory of the gateway's data.
    #[arg(long, global = true, env = "AI_TRACING_DATA_DIR", default_value_os_t = super::default_data_dir(), value_name = "DIR")]
    data_dir: PathBuf,
    /// Address of a gateway's console, such as `http://127.0.0.1:8002`: reads there instead of in --data-dir. Empty: none.
    #[arg(long, global = true, env = "AI_TRACING_CONSOLE_URL", value_name = "URL")]
    url: Option<String>,
    /// The console's token, where it asks for one.
    #[arg(long, global = true, env = "AI_TRACING_CONSOLE_TOKEN", value_name = "SECRET", hide_env_values = true)]
    console_token: Option<Secret>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Shows everything about one call, or about all calls of one trace.
    Show(Show),
}

#[derive(Args, Debug)]
struct List {
    /// Show at most this many calls, the newest.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Go on printing calls as they are stored.
    #[arg(short, long)]
    follow: bool,
    /// `table` for people; `jsonl`: one record a line, as docs/record.md describes it.
    #[arg(long, value_enum, default_value_t = ListFormat::Table, value_name = "FORMAT")]
    format: ListFormat,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Table,
    Jsonl,
}

/// Each option narrows the list.
#[derive(Args, Debug, Default, PartialEq)]
struct FilterArgs {
    /// Only calls that failed in any way: HTTP status, an error in the answer, or an early end.
    #[arg(long)]
    errors: bool,
    /// Trace id, in full.
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// User id.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Session id.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Chat id.
    #[arg(long, value_name = "ID")]
    chat: Option<String>,
    /// Words in the content, all of them: `"a phrase"` stands together, `begin*` is the beginning of a word.
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// Organization id.
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// Project id.
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Environment, as the plugin names it.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Model, as requested or as answered; `*` stands for any characters.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Provider, such as `openai`.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Name of the service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Name of the route, or the path.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// HTTP status: `429`, `5xx`, or `400-499`.
    #[arg(long, value_name = "STATUS", value_parser = parse::status)]
    status: Option<(u16, u16)>,
    /// `failed`: only calls that a destination refused or gave up.
    #[arg(long, value_name = "STATE", value_parser = parse::undelivered)]
    delivery: Option<bool>,
    /// Began at this time or later: `90s`, `15m`, `1h`, `7d` ago, a date, or an RFC 3339 time.
    #[arg(long, value_name = "TIME", value_parser = parse::moment)]
    since: Option<parse::Moment>,
    /// Began before this time, given as for --since.
    #[arg(long, value_name = "TIME", value_parser = parse::moment)]
    until: Option<parse::Moment>,
    /// Took longer than this: `800ms`, `2s`, `1m`.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    slower_than: Option<Duration>,
    /// Its first token took longer than this.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    first_token_slower_than: Option<Duration>,
}

#[derive(Args, Debug)]
struct Show {
    /// Id of a call, a trace id, or the beginning of either (the table's TRACE column).
    id: String,
    /// `text` for people; `json`: the record as docs/record.md describes it; `http`: what is kept of the HTTP exchange, as
    /// JSON.
    #[arg(long, value_enum, default_value_t = ShowFormat::Text, value_name = "FORMAT")]
    format: ShowFormat,
    /// Cut each text after this many characters.
    #[arg(long, value_name = "N")]
    max_text: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShowFormat {
    Text,
    Json,
    Http,
}

impl FilterArgs {
    fn filter(self, now: At) -> Filter {
        Filter {
            since: self.since.map(|moment| moment.at(now)),
            until: self.until.map(|moment| moment.at(now)),
            trace: self.trace,
            user: self.user,
            session: self.session,
            chat: self.chat,
            text: self.search,
            organization: self.organization,
            project: self.project,
            environment: self.environment,
            model: self.model,
            provider: self.provider,
            service: self.service,
            route: self.route,
            status: self.status,
            errors: self.errors,
            undelivered: self.delivery.unwrap_or_default(),
            slower_than_ms: self.slower_than.map(millis),
            first_token_slower_than_ms: self.first_token_slower_than.map(millis),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Traces {
    /// Runs the command. A reader of the output that goes away early (`| head`) is no error.
    ///
    /// # Errors
    /// No store, an unknown id, or an output that cannot be written.
    pub fn run(self, out: &mut dyn Write, terminal: Terminal) -> Result<()> {
        match self.write(out, terminal) {
            Err(error) if is_broken_pipe(&error) => Ok(()),
            done => done,
        }
    }

    fn write(self, out: &mut dyn Write, terminal: Terminal) -> Result<()> {
        if self.command.is_some() && (self.list.follow || self.list.filter != FilterArgs::default()) {
            bail!("`traces show` takes an id: --follow and filters do not go with it");
        }
        let given = |text: &&str| !text.is_empty();
        let token = self.console_token.as_ref().filter(|Secret(token)| given(&token.as_str()));
        let source = Source::open(&self.data_dir, self.url.as_deref().filter(given), token)?;
        match self.command {
            Some(Command::Show(show)) => show.write(&source, out, terminal)?,
            None => self.list.write(&source, out, terminal)?,
        }
        Ok(out.flush()?)
    }
}

impl List {
    fn write(self, source: &Source, out: &mut dyn Write, terminal: Terminal) -> Result<()> {
        let filter = self.filter.filter(now());
        // Asked first: what is stored while the list is read comes with the following, once.
        let position = source.position()?;
        let mut calls = source.list(&filter, self.limit)?;
        calls.retain(|call| position.covers(call));
        calls.reverse();
        let listing = (self.format == ListFormat::Table).then(|| Listing::new(&calls, now(), self.follow, terminal));
        if let Some(listing) = &listing {
            listing.write_head(out)?;
        }
        let mut news = source.follow(position, &filter);
        loop {
            for call in &calls {
                match &listing {
                    Some(listing) => listing.write_call(out, call, now())?,
                    // Retention may have deleted it since it was listed.
                    None => {
                        if let Some(json) = news.record(call)? {
                            writeln!(out, "{}", shown_json(&json, terminal))?;
                        }
                    }
                }
            }
            if !self.follow {
                break;
            }
            out.flush()?;
            calls = news.next()?;
        }
        if let Some(listing) = &listing {
            listing.write_foot(out)?;
        }
        Ok(())
    }
}

impl Show {
    fn write(self, source: &Source, out: &mut dyn Write, terminal: Terminal) -> Result<()> {
        match source.find(&self.id)? {
            Found::Call(call) => match self.json(source, &call)? {
                Some(json) => self.write_call(&json, out, terminal)?,
                None if self.format == ShowFormat::Http => bail!("{NO_HTTP}"),
                None => {}
            },
            Found::Trace(first) => {
                let of_trace = Filter { trace: Some(first.trace_id), ..Filter::default() };
                let mut cursor = None;
                loop {
                    let page = source.page(&of_trace, Order::Oldest, cursor, PAGE)?;
                    for (index, call) in page.calls.iter().enumerate() {
                        if self.format == ShowFormat::Text && (index > 0 || cursor.is_some()) {
                            writeln!(out)?;
                        }
                        match self.json(source, call)? {
                            Some(json) => self.write_call(&json, out, terminal)?,
                            None if self.format == ShowFormat::Http => writeln!(out, "null")?,
                            None => {}
                        }
                    }
                    cursor = page.next;
                    if cursor.is_none() {
                        break;
                    }
                }
            }
            Found::Nothing => bail!("no call or trace with the id {}", line(&self.id)),
            Found::Ambiguous(calls) => {
                let ids: Vec<_> = calls
                    .iter()
                    .map(|call| format!("\n  {} (trace {})", line(&call.id), line(&call.trace_id)))
                    .collect();
                bail!("several calls begin with {}, such as:{}", line(&self.id), ids.concat())
            }
        }
        Ok(())
    }

    /// What is shown of a call, as it is stored. Retention may have deleted it since it was found.
    fn json(&self, source: &Source, call: &Summary) -> Result<Option<String>> {
        match self.format {
            ShowFormat::Http => source.http(call),
            ShowFormat::Text | ShowFormat::Json => source.record(call),
        }
    }

    fn write_call(&self, json: &str, out: &mut dyn Write, terminal: Terminal) -> Result<()> {
        if self.format == ShowFormat::Text {
            return Ok(write_call(out, &serde_json::from_str(json)?, self.max_text, terminal)?);
        }
        let value: serde_json::Value = serde_json::from_str(json)?;
        writeln!(out, "{}", shown_json(&serde_json::to_string_pretty(&value)?, terminal))?;
        Ok(())
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
