//! What became of a call at its destinations, and sending it again.
//!
//! The store knows what the engine has told of the call. What the engine cannot tell, because records were lost on disk
//! unread, is seen from the destination: a call that waits where nothing that old waits any more was dropped, or, where
//! not everything was taken down since, is nobody knows where.

use std::sync::Arc;
use std::time::Duration;

use ai_tracing_core::record::CallRecord;
use ai_tracing_core::time::At;
use ai_tracing_export::DestinationStats;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::{Console, api};
use crate::admin::reply::Reply;
use crate::calls::outcomes::{Buffer, State};
use crate::calls::query::{Delivery, Reader, Summary};

/// What a destination knows of its oldest record may be so old.
const SLACK_NS: u64 = 5_000_000_000;
/// Time for the engine to take a record that is sent again; it reads calls meanwhile.
const TAKE: Duration = Duration::from_secs(5);

/// Hands a record to the destination of a key once more; answered when it waits there.
type Resend = dyn Fn([u8; 16], Arc<CallRecord>) -> Option<oneshot::Receiver<()>> + Send + Sync;

/// The engine and the store's writer, as far as this is about them.
pub struct Exports {
    /// What the store may not have yet.
    pub outcomes: Arc<Buffer>,
    /// The destinations in use.
    pub destinations: Box<dyn Fn() -> Vec<DestinationStats> + Send + Sync>,
    /// [`Engine::resend`](ai_tracing_export::Engine::resend).
    pub resend: Box<Resend>,
}

/// `v1/calls/ID/deliveries/DESTINATION/retry`
pub(super) struct Retry {
    call: String,
    destination: i64,
}

impl Retry {
    pub fn parse(path: &str) -> Option<Self> {
        let (call, destination) = path.strip_prefix("v1/calls/")?.strip_suffix("/retry")?.split_once("/deliveries/")?;
        let call = percent_decode_str(call).decode_utf8().ok()?.into_owned();
        Some(Self { call, destination: destination.parse().ok()? })
    }
}

/// GET `/api/v1/calls/ID/deliveries`
pub(super) async fn list(console: &Arc<Console>, call: String) -> Result<Reply, Reply> {
    console.read(move |console, reader| known(console, reader, &api::find(reader, &call)?).map(listed)).await
}

/// POST `/api/v1/calls/ID/deliveries/DESTINATION/retry`
pub(super) async fn send_again(console: &Arc<Console>, retry: Retry) -> Result<Reply, Reply> {
    let Retry { call, destination } = retry;
    let (id, taken) = console.read(move |console, reader| hand_over(console, reader, &call, destination)).await?;
    // Answered when the record waits, so that who asks next is told so.
    if !matches!(tokio::time::timeout(TAKE, taken).await, Ok(Ok(()))) {
        return Err(Reply::message(StatusCode::SERVICE_UNAVAILABLE, "The engine is busy or stopping: look again"));
    }
    let now = console.read(move |console, reader| known(console, reader, &api::find(reader, &id)?)).await?;
    Ok(Reply { status: StatusCode::ACCEPTED, ..listed(now) })
}

/// The call's id, and what tells when the engine has taken it.
fn hand_over(
    console: &Console,
    reader: &Reader,
    call: &str,
    destination: i64,
) -> Result<(String, oneshot::Receiver<()>), Reply> {
    let conflict = |why| Reply::message(StatusCode::CONFLICT, why);
    let call = api::find(reader, call)?;
    let known = known(console, reader, &call)?;
    let delivery = known.into_iter().find(|known| known.destination == destination);
    let none = || Reply::message(StatusCode::NOT_FOUND, "This call was not offered to such a destination");
    let delivery = delivery.ok_or_else(none)?;
    match delivery.state {
        "waiting" => return Err(conflict("It waits already, and is tried again by itself")),
        "delivered" => return Err(conflict("The destination has it")),
        _ => {}
    }
    let record = serde_json::from_str(&api::record(reader, &call)?);
    let record = record.map_err(|_| conflict("The stored record cannot be read: another version has written it"))?;
    let taken = (console.exports.resend)(delivery.key, Arc::new(record));
    Ok((call.id, taken.ok_or_else(|| conflict("No configuration uses this destination any more"))?))
}

/// A call at a destination, as it is told.
#[derive(Debug, Serialize)]
struct Known {
    destination: i64,
    #[serde(skip)]
    key: [u8; 16],
    label: String,
    state: &'static str,
    reason: Option<String>,
    #[serde(with = "ai_tracing_core::time::rfc3339")]
    at: At,
    /// It can be sent again.
    retry: bool,
}

fn listed(known: Vec<Known>) -> Reply {
    Reply::ok(json!({ "deliveries": known }))
}

fn known(console: &Console, reader: &Reader, call: &Summary) -> Result<Vec<Known>, Reply> {
    // In this order: what is no longer waiting has been told, and what was told and is no longer in the buffer is stored.
    let destinations = (console.exports.destinations)();
    let told = console.exports.outcomes.of(&call.id);
    let complete_since = console.exports.outcomes.complete_since();
    let mut deliveries = reader.deliveries(call.seq).map_err(api::unreadable)?;
    for (address, outcome) in told {
        match deliveries.iter_mut().find(|known| known.key == address.key) {
            Some(known) => known.outcome = outcome,
            // A destination has its number once something of it is stored.
            None => deliveries.extend(
                reader.destination(address.key).map_err(api::unreadable)?.map(|destination| Delivery {
                    destination,
                    key: address.key,
                    label: address.label,
                    outcome,
                }),
            ),
        }
    }
    let now = (console.clock)();
    Ok(deliveries.into_iter().map(|it| tell(it, &destinations, complete_since, now)).collect())
}

fn tell(delivery: Delivery, destinations: &[DestinationStats], complete_since: At, now: At) -> Known {
    let Delivery { destination, key, label, outcome } = delivery;
    let at = At(outcome.at.unsigned_abs().saturating_mul(1_000));
    let in_use = destinations.iter().find(|stats| stats.key == Some(key));
    let reason = outcome.reason.map(String::from);
    let (state, reason) = match (outcome.state, in_use) {
        (State::Delivered, _) => ("delivered", reason),
        (State::Failed, _) => ("failed", reason),
        (State::Dropped, _) => ("dropped", reason),
        (State::Unknown, _) => ("unknown", reason),
        (State::Waiting, None) => {
            let why =
                "no configuration uses this destination any more: what waits for it is kept up to the spool's limits";
            ("unknown", Some(why.to_owned()))
        }
        (State::Waiting, Some(stats)) if still_waits(stats, at, now) => ("waiting", stats.failing.clone()),
        (State::Waiting, Some(_)) if at >= complete_since => {
            ("lost", Some("no longer waiting: dropped, see the destination's delivery".to_owned()))
        }
        (State::Waiting, Some(_)) => {
            ("unknown", Some("no longer waiting: what became of it was not taken down".to_owned()))
        }
    };
    let retry = in_use.is_some() && !matches!(state, "waiting" | "delivered");
    Known { destination, key, label, state, reason, at, retry }
}

/// Whether what was offered at a time may still wait.
fn still_waits(stats: &DestinationStats, offered: At, now: At) -> bool {
    if stats.waiting == 0 {
        return false;
    }
    // What is being sent and is in memory alone is not in this age.
    let oldest = At(now.0.saturating_sub((stats.oldest_seconds * 1e9) as u64));
    stats.memory_only > 0 || oldest.0 <= offered.0.saturating_add(SLACK_NS)
}
