//! The client: requests at a fixed rate, whatever the answers do.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::http::Reader;

const BODY: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Explain quantum computing in simple terms"}],"temperature":0.7,"max_tokens":500}"#;

/// What one connection has seen.
#[derive(Default)]
struct Seen {
    /// Microseconds to the end of the answer.
    whole: Vec<f64>,
    /// Microseconds to the first byte of its body.
    first: Vec<f64>,
    errors: u64,
}

/// Sends `rate` requests a second for `seconds`, spread evenly over the connections, and prints one JSON line.
///
/// Open loop: each request has its time in a plan made beforehand. Where the answer before was late, time counts from
/// the plan, so that a stall counts for every request that it held up; where the connection was free, it counts from
/// the sending, so that the lateness of the system's timer does not.
pub fn load(address: &str, path: &str, rate: f64, seconds: f64, connections: usize) -> io::Result<()> {
    let start = Instant::now() + Duration::from_millis(100);
    let interval = Duration::from_secs_f64(connections as f64 / rate);
    let count = (rate * seconds / connections as f64) as u32;
    let threads: Vec<_> = (0..connections)
        .map(|number| {
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\nx-user-id: user-{number}\r\ncontent-length: {}\r\n\r\n{BODY}",
                BODY.len()
            );
            let begin = start + interval.mul_f64(number as f64 / connections as f64);
            let address = address.to_owned();
            thread::spawn(move || one(&address, request.as_bytes(), begin, interval, count))
        })
        .collect();
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().map_err(|_| io::Error::other("a connection's thread has panicked"))??;
        all.whole.extend(seen.whole);
        all.first.extend(seen.first);
        all.errors += seen.errors;
    }
    println!(
        r#"{{"requests":{},"errors":{},"mean_us":{:.1},"p50_us":{:.1},"p99_us":{:.1},"first_mean_us":{:.1},"first_p99_us":{:.1}}}"#,
        all.whole.len(),
        all.errors,
        mean(&all.whole),
        percentile(&mut all.whole, 0.5),
        percentile(&mut all.whole, 0.99),
        mean(&all.first),
        percentile(&mut all.first, 0.99)
    );
    Ok(())
}

/// One connection's share of the plan.
fn one(address: &str, request: &[u8], begin: Instant, interval: Duration, count: u32) -> io::Result<Seen> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = Reader::new(stream.try_clone()?);
    let mut seen = Seen::default();
    for number in 0..count {
        let planned = begin + interval * number;
        let free = Instant::now();
        let from = if free < planned {
            thread::sleep(planned - free);
            Instant::now()
        } else {
            planned
        };
        stream.write_all(request)?;
        let answer = reader.message()?.ok_or_else(|| io::Error::other("the connection was closed"))?;
        seen.whole.push(from.elapsed().as_secs_f64() * 1e6);
        seen.first.push((answer.first_byte - from).as_secs_f64() * 1e6);
        seen.errors += u64::from(!answer.head.starts_with("HTTP/1.1 200"));
    }
    Ok(seen)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}
