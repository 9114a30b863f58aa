//! `ai-tracing config`: declarative configuration files, without a running gateway.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::db::declarative::{self, Errors};

/// Checks a declarative configuration file.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Validates a declarative configuration file (YAML or JSON) and says what is wrong with it, an error a line
    Parse {
        /// The file
        file: PathBuf,
    },
}

/// Runs the command. A file with errors is not an error of the command: it is said, and the exit code is 1.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Command::Parse { file } = &args.command;
    let document = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    match check(&document) {
        Ok(()) => {
            writeln!(out, "parse successful")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(errors) => {
            write(out, file, &errors)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn check(document: &str) -> Result<(), Errors> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    declarative::parse(declarative::read(document)?, now).map(drop)
}

fn write(out: &mut dyn Write, file: &Path, errors: &Errors) -> std::io::Result<()> {
    errors.lines().iter().try_for_each(|line| writeln!(out, "{}: {line}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(document: &str) -> (String, ExitCode) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kong.yml");
        std::fs::write(&file, document).unwrap();
        let mut out = Vec::new();
        let code = run(&Args { command: Command::Parse { file: file.clone() } }, &mut out).unwrap();
        (String::from_utf8(out).unwrap().replace(&format!("{}: ", file.display()), ""), code)
    }

    #[test]
    fn a_valid_file_is_said_to_be_one() {
        assert_eq!(parse("_format_version: '3.0'\n"), ("parse successful\n".to_owned(), ExitCode::SUCCESS));
    }

    #[test]
    fn every_error_has_its_line_and_its_path() {
        let (out, code) = parse(
            "_format_version: '3.0'\nplugins:\n- name: ai-tracing\n  config: {langfuse_enabled: true, sampling_ratio: 2}\nconsumers:\n- username: x\n",
        );
        assert_eq!(code, ExitCode::FAILURE);
        let lines: Vec<_> = out.lines().collect();
        assert!(
            lines.contains(&"plugins[0].config.langfuse_public_key: required when langfuse_enabled is true"),
            "{out}"
        );
        assert!(lines.contains(&"plugins[0].config.sampling_ratio: value should be between 0 and 1"), "{out}");
        assert!(lines.iter().any(|line| line.starts_with("consumers: not supported")), "{out}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let args = Args { command: Command::Parse { file: "nowhere/kong.yml".into() } };
        let error = run(&args, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read nowhere/kong.yml");
    }
}
