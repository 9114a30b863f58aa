//! Writes what the Langfuse exporter would send, for parsers that we did not write.
//!
//! ```text
//! langfuse_payload OTLP_FILE BATCH_FILE [compact] < records.jsonl
//! ```
//!
//! Reads records as JSON lines (`ai-tracing traces --format jsonl`) and writes one OTLP request (protobuf, not
//! compressed) and one request of the batch API (JSON).

use std::io::BufRead as _;
use std::sync::Arc;

use ai_tracing_config::ai_tracing::LangfuseObservations;
use ai_tracing_core::record::CallRecord;
use ai_tracing_export::exporter::langfuse_payloads;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(otlp), Some(batch)) = (arguments.next(), arguments.next()) else {
        return Err("usage: langfuse_payload OTLP_FILE BATCH_FILE [compact] < records.jsonl".into());
    };
    let observations = match arguments.next().as_deref() {
        None | Some("full") => LangfuseObservations::Full,
        Some("compact") => LangfuseObservations::Compact,
        Some(other) => return Err(format!("observations are full or compact, not {other}").into()),
    };
    let mut records: Vec<Arc<CallRecord>> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            records.push(Arc::new(serde_json::from_str(&line)?));
        }
    }
    let (protobuf, json) = langfuse_payloads(&records, observations)?;
    std::fs::write(otlp, protobuf)?;
    std::fs::write(batch, json)?;
    Ok(())
}
