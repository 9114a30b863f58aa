//! The other ends of the bench: an upstream that answers like an LLM API, a sink that takes traces, and a client that
//! sends at a fixed rate.
//!
//! ```text
//! loadgen upstream ADDRESS
//! loadgen sink ADDRESS ok|hang
//! loadgen load ADDRESS PATH RATE SECONDS CONNECTIONS
//! ```
//!
//! One blocking thread per connection: no runtime, so that what is measured is the proxy in between. Servers print
//! `listening ADDRESS` once they do.

mod client;
mod http;
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["upstream", address] => server::upstream(address),
        ["sink", address, mode @ ("ok" | "hang")] => server::sink(address, *mode == "hang"),
        ["load", address, path, rate, seconds, connections] => {
            match (rate.parse(), seconds.parse(), connections.parse()) {
                (Ok(rate), Ok(seconds), Ok(connections)) => client::load(address, path, rate, seconds, connections),
                _ => Err(std::io::Error::other("rate, seconds and connections are numbers")),
            }
        }
        _ => Err(std::io::Error::other(
            "usage: upstream ADDRESS | sink ADDRESS ok|hang | load ADDRESS PATH RATE SECONDS CONNECTIONS",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}
