//! What is stored, as it is stored: server-sent events.
//!
//! `calls` holds a list of calls in the order of storing and has the last one's position as its id, with which a
//! browser that was cut off goes on. `reset` says that more was stored than is sent: the page reads its list again. With
//! `all=true` each call is sent, however far behind the client is.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use http_body::Frame;
use serde_json::json;
use tokio::sync::mpsc;

use super::params::Params;
use super::{Console, api};
use crate::admin::reply::Reply;
use crate::calls::query::{Filter, Position, ReadError, Reader, Summary};

/// A line when nothing happens, so that a connection that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The least time between two events: people read no faster.
const PAUSE: Duration = Duration::from_millis(200);
/// A page that is so far behind reads its list again.
const FAR_BEHIND: i64 = 5_000;

/// GET `/api/v1/events`
pub(super) fn answer(console: &Arc<Console>, head: &Parts) -> Result<Response, Reply> {
    let params = Params::parse(head.uri.query(), (console.clock)())?;
    let last_seen = head.headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let position = last_seen.or(params.after).map(Position);
    let Ok(permit) = Arc::clone(&console.streams).try_acquire_owned() else {
        return Err(Reply::message(StatusCode::SERVICE_UNAVAILABLE, "Too many pages are open"));
    };
    let (sender, receiver) = mpsc::channel(1);
    let console = Arc::clone(console);
    tokio::spawn(async move {
        let _permit = permit;
        let stream = Stream { sender, filter: Arc::new(params.filter), all: params.all, console };
        // An error is the page's having gone.
        let _ = stream.run(position).await;
    });
    let mut response = Response::new(Body::new(Events(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

struct Stream {
    sender: mpsc::Sender<Bytes>,
    filter: Arc<Filter>,
    /// The client wants each call, however far behind it is.
    all: bool,
    console: Arc<Console>,
}

/// The page has gone, or the gateway is stopping.
struct Gone;

impl Stream {
    async fn run(self, mut position: Option<Position>) -> Result<(), Gone> {
        let mut changes = self.console.changes.clone();
        self.send(": hello\n\n".to_owned()).await?;
        loop {
            changes.mark_unchanged();
            match self.news(position).await {
                Ok(News { calls, position: at, far_behind, more }) => {
                    position = Some(at);
                    if far_behind {
                        self.send(format!("event: reset\nid: {}\ndata: {{}}\n\n", at.0)).await?;
                    } else if !calls.is_empty() {
                        let calls: Vec<_> = calls.iter().map(api::listed).collect();
                        self.send(format!("event: calls\nid: {}\ndata: {}\n\n", at.0, json!(calls))).await?;
                    }
                    if more {
                        continue;
                    }
                }
                Err(why) => self.send(format!("event: trouble\ndata: {}\n\n", json!({ "message": why }))).await?,
            }
            tokio::select! {
                changed = changes.changed() => changed.map_err(|_| Gone)?,
                () = self.sender.closed() => return Err(Gone),
                () = tokio::time::sleep(KEEP_ALIVE) => self.send(": still here\n\n".to_owned()).await?,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn send(&self, event: String) -> Result<(), Gone> {
        self.sender.send(event.into()).await.map_err(|_| Gone)
    }

    async fn news(&self, position: Option<Position>) -> Result<News, String> {
        let queries = Arc::clone(&self.console.queries);
        let Ok(permit) = queries.acquire_owned().await else { return Err("stopping".to_owned()) };
        let (console, filter, all) = (Arc::clone(&self.console), Arc::clone(&self.filter), self.all);
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            News::read(&console, &filter, position, all)
        });
        let read = reading.await.map_err(|why| why.to_string())?;
        read.map_err(|why| why.to_string())
    }
}

/// What was stored since a position.
struct News {
    calls: Vec<Summary>,
    position: Position,
    far_behind: bool,
    /// Another look finds more.
    more: bool,
}

impl News {
    fn read(console: &Console, filter: &Filter, position: Option<Position>, all: bool) -> Result<Self, ReadError> {
        let reader = Reader::open(&console.data_dir)?;
        let newest = reader.position()?;
        let Some(mut position) = position else {
            return Ok(Self { calls: Vec::new(), position: newest, far_behind: false, more: false });
        };
        // A position beyond the newest is one of another file: a damaged one was replaced.
        if (newest.0.saturating_sub(position.0) > FAR_BEHIND && !all) || position.0 > newest.0 {
            return Ok(Self { calls: Vec::new(), position: newest, far_behind: true, more: false });
        }
        let calls = reader.follow(&mut position, filter)?;
        Ok(Self { calls, position, far_behind: false, more: position.0 < newest.0 })
    }
}

/// Events as a response's body.
struct Events(mpsc::Receiver<Bytes>);

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
