//! Developer commands of this repository.
//!
//! ```text
//! cargo xtask docs            write what is generated: parts of the documentation, files of the Kong plugin
//! cargo xtask docs --check    fail when they are stale
//! cargo xtask layers          fail when a crate depends on what it must not know
//! ```

mod docs;
mod kong;
mod layers;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask docs [--check] | layers";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["docs"] => docs::write(root()).and_then(|()| kong::write(root())),
        ["docs", "--check"] => docs::check(root()).and_then(|()| kong::check(root())),
        ["layers"] => layers::check(root()),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing to be done about a closed stderr.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository.
fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}
