//! The local store as a destination of the engine.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use ai_tracing_core::record::CallRecord;
use ai_tracing_export::exporter::{BatchLimits, Delivery, EncodeError, Exporter};
use ai_tracing_export::pause;
use tokio::sync::oneshot;

use super::row::Row;
use super::writer::Message;

/// Longest time to wait for the writer: it waits for a lock itself, and disks may hang.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// When to knock again at a writer that has its hands full.
const BUSY_AGAIN: Duration = Duration::from_millis(100);

/// Hands batches to the writer thread and waits for its answer. Clones share the writer.
#[derive(Clone, Debug)]
pub struct LocalStore {
    pub(super) sender: SyncSender<Message>,
}

impl Exporter for LocalStore {
    type Payload = Arc<[Row]>;

    fn name(&self) -> &'static str {
        "local_store"
    }

    fn limits(&self) -> BatchLimits {
        // A transaction without fsync is cheap: a short delay keeps `traces --follow` live.
        BatchLimits { max_records: 256, max_bytes: 8 << 20, max_delay: Duration::from_millis(100), max_requests: 1 }
    }

    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Self::Payload, EncodeError> {
        records
            .iter()
            .inspect(|_| pause())
            .map(Row::new)
            .collect::<Result<_, _>>()
            .map_err(|error| EncodeError(error.to_string()))
    }

    async fn send(&self, rows: &Self::Payload) -> Delivery {
        let (answer, answered) = oneshot::channel();
        match self.sender.try_send(Message::Batch(Arc::clone(rows), answer)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Delivery::Retry { after: Some(BUSY_AGAIN), why: "the local store's writer is busy".into() };
            }
            Err(TrySendError::Disconnected(_)) => return closed(),
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(_)) => closed(),
            // The batch may be written all the same: ids make the second try harmless.
            Err(_) => Delivery::Retry { after: None, why: "the local store's writer does not answer".into() },
        }
    }
}

fn closed() -> Delivery {
    Delivery::Retry { after: None, why: "the local store is closed".into() }
}
