//! Calls as they are stored: server-sent events. A connection that is lost is made again, and nothing is missed.

use std::io::{self, Write};
use std::time::Duration;

use http::StatusCode;
use hyper::body::Incoming;
use memchr::memmem;

use super::{Api, ApiError, MAX_ANSWER};
use crate::calls::query::{Filter, Position, Summary};
use crate::console::query_of;

/// When a console that was lost is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// A console's events from a position on.
pub struct Events<'a> {
    api: &'a Api,
    filter: &'a Filter,
    position: Position,
    body: Option<Incoming>,
    /// What has come and is not read yet.
    buffer: Vec<u8>,
    /// It has answered before.
    known: bool,
}

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    id: Option<i64>,
    data: String,
}

impl<'a> Events<'a> {
    /// Those of calls that match; nothing is asked yet.
    pub fn new(api: &'a Api, position: Position, filter: &'a Filter) -> Self {
        Self { api, filter, position, body: None, buffer: Vec::new(), known: false }
    }

    /// Waits for the next calls, in the order of storing.
    ///
    /// # Errors
    /// The console refuses, or does not answer the first time.
    pub fn next(&mut self) -> Result<Vec<Summary>, ApiError> {
        self.api.runtime.block_on(async {
            loop {
                while let Some(event) = take(&mut self.buffer) {
                    if let Some(calls) = self.read(&event)? {
                        return Ok(calls);
                    }
                }
                if let Err(error) = self.receive().await {
                    self.lost(error).await?;
                }
            }
        })
    }

    /// As [`Api::record`]; once the console has told of calls, it is waited for.
    ///
    /// # Errors
    /// As [`Events::next`].
    pub fn record(&mut self, id: &str) -> Result<Option<String>, ApiError> {
        loop {
            match self.api.record(id) {
                Err(error) => self.api.runtime.block_on(self.lost(error))?,
                answer => return answer,
            }
        }
    }

    /// Waits until a console that has answered before is worth another try; the error where it is not.
    async fn lost(&mut self, error: ApiError) -> Result<(), ApiError> {
        if !self.known || !matches!(error, ApiError::NoAnswer { .. }) {
            return Err(error);
        }
        if self.body.take().is_some() {
            // Nothing is left to be done about a stderr that cannot be written.
            let _ = writeln!(io::stderr(), "ai-tracing: lost {}: trying again", self.api.url);
        }
        // The rest of it is told again.
        self.buffer.clear();
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }

    /// Reads on, over a new connection where there is none.
    async fn receive(&mut self) -> Result<(), ApiError> {
        let Some(body) = &mut self.body else {
            let path = format!("events?all=true&after={}&{}", self.position.0, query_of(self.filter));
            let response = self.api.ask(&path).await?;
            if response.status() != StatusCode::OK {
                let (head, mut body) = response.into_parts();
                let said = self.api.more(&mut body).await?.unwrap_or_default();
                return Err(self.api.refused(head.status, &said));
            }
            (self.body, self.known) = (Some(response.into_body()), true);
            return Ok(());
        };
        let Some(data) = self.api.more(body).await? else {
            return Err(ApiError::NoAnswer { url: self.api.url.clone(), why: "the connection was closed".to_owned() });
        };
        if self.buffer.len() + data.len() > MAX_ANSWER {
            return Err(self.api.foreign("an event of more than a gigabyte"));
        }
        self.buffer.extend_from_slice(&data);
        Ok(())
    }

    fn read(&mut self, event: &Event) -> Result<Option<Vec<Summary>>, ApiError> {
        if let Some(id) = event.id {
            self.position = Position(id);
        }
        match event.name.as_str() {
            "calls" => self.api.read(event.data.as_bytes()).map(Some),
            "trouble" => Err(self.api.refused(StatusCode::SERVICE_UNAVAILABLE, event.data.as_bytes())),
            // `reset`: the store was begun anew, and is followed from there. Others may come one day.
            _ => Ok(None),
        }
    }
}

/// Takes a whole event out of what has come.
fn take(buffer: &mut Vec<u8>) -> Option<Event> {
    let end = memmem::find(buffer, b"\n\n")?;
    let text: Vec<u8> = buffer.drain(..end + 2).collect();
    let mut event = Event::default();
    for line in String::from_utf8_lossy(&text).lines() {
        match line.split_once(": ") {
            Some(("event", name)) => event.name = name.to_owned(),
            Some(("id", id)) => event.id = id.parse().ok(),
            Some(("data", data)) => event.data = data.to_owned(),
            // A comment.
            _ => {}
        }
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_the_pieces() {
        let stream = b": hello\n\nevent: calls\nid: 7\ndata: [{\"a\": \"b: c\"}]\n\nevent: reset\nid: 9\ndata: {}\n\n";
        for piece in [1, 2, 7, stream.len()] {
            let (mut buffer, mut events) = (Vec::new(), Vec::new());
            for piece in stream.chunks(piece) {
                buffer.extend_from_slice(piece);
                events.extend(std::iter::from_fn(|| take(&mut buffer)));
            }
            let event = |name: &str, id, data: &str| Event { name: name.into(), id, data: data.into() };
            let all = [Event::default(), event("calls", Some(7), "[{\"a\": \"b: c\"}]"), event("reset", Some(9), "{}")];
            assert_eq!(events, all, "{piece}");
            assert!(buffer.is_empty());
        }
    }
}
