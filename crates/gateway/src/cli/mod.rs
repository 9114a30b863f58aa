//! The command line. Exit codes: 0 for success, 1 for a failure (one line on stderr says which), 2 for wrong usage.

pub mod config;
pub mod demo;
mod inspect;
mod options;
mod spool;
mod start;
pub mod traces;

use std::borrow::Cow;
use std::io::{BufWriter, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::term::{Terminal, text};

/// A gateway that traces LLM traffic.
#[derive(Debug, Parser)]
#[command(name = "ai-tracing", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the gateway: proxy, Admin API, status API
    Start(Box<options::Start>),
    Traces(Box<traces::Traces>),
    Inspect(Box<inspect::Inspect>),
    Spool(spool::Spool),
    Demo(demo::Demo),
    /// Works with declarative configuration files
    Config(config::Args),
}

/// Parses the command line and runs what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Start(options) => start::run(*options, &mut stdout()),
        Command::Traces(traces) => {
            traces.run(&mut BufWriter::new(stdout()), Terminal::stdout()).map(|()| ExitCode::SUCCESS)
        }
        Command::Inspect(inspect) => inspect.run(&mut stdout(), &mut stderr(), Terminal::stdout(), Terminal::stderr()),
        Command::Spool(spool) => {
            spool.run(&mut BufWriter::new(stdout()), Terminal::stdout()).map(|()| ExitCode::SUCCESS)
        }
        Command::Demo(demo) => demo.run(&mut stdout(), Terminal::stdout()).map(|()| ExitCode::SUCCESS),
        Command::Config(args) => config::run(&args, &mut stdout()),
    };
    result.unwrap_or_else(|error| {
        // What could not be read may be quoted. Nothing is left to be done about a stderr that cannot be written.
        let _ = writeln!(stderr(), "ai-tracing: {}", text::block(&format!("{error:#}")));
        ExitCode::FAILURE
    })
}

/// Where the gateway keeps its data unless told otherwise: `$XDG_DATA_HOME/ai-tracing`, else
/// `$HOME/.local/share/ai-tracing`, else `/var/lib/ai-tracing`.
pub fn default_data_dir() -> PathBuf {
    data_dir_from(|name| std::env::var_os(name).map(PathBuf::from))
}

fn data_dir_from(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    // The XDG specification has relative paths ignored.
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("ai-tracing")
}

/// JSON for whoever reads the output.
fn shown_json(json: &str, terminal: Terminal) -> Cow<'_, str> {
    if terminal.is_terminal { text::json(json) } else { json.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn data_goes_where_the_system_keeps_it() {
        let dir = |xdg: Option<&str>, home: Option<&str>| {
            let value = |name: &str| if name == "HOME" { home } else { xdg };
            data_dir_from(|name| value(name).map(PathBuf::from)).display().to_string()
        };
        assert_eq!(dir(Some("/x"), Some("/home/me")), "/x/ai-tracing");
        assert_eq!(dir(None, Some("/home/me")), "/home/me/.local/share/ai-tracing");
        assert_eq!(dir(Some("relative"), Some("/home/me")), "/home/me/.local/share/ai-tracing");
        assert_eq!(dir(None, None), "/var/lib/ai-tracing");
    }
}
