//! The bodies that pass: each frame goes on as it came, and what is traced is copied on its way.
//!
//! In: hyper's bodies. Out: the same frames, in the same order, at the same time; nothing is held back, joined or split.
//! A response's end is reported as soon as it is known (hyper does not ask again after the last byte of a body of known
//! length), and by [`Ending`] when the body is dropped before.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ai_tracing_core::record::End;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::exchange::{Ending, Exchange, Patience, Stalled, Upload};
use super::failure::Complaints;
use super::server::Answering;
use super::upstream::{Pool, Profile, Sender, Target};

/// Why a body breaks off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client broke off its request.
    #[error("the client broke off: {0}")]
    Client(#[source] hyper::Error),
    /// The request is longer than allowed.
    #[error("the request is too large")]
    TooLarge,
    /// The upstream broke off its response.
    #[error("the upstream broke off: {0}")]
    Upstream(#[source] hyper::Error),
    /// The next piece took too long.
    #[error("timed out")]
    Timeout,
}

/// How long the answer to a call that cannot be forwarded waits for the rest of the request. As a rule the body came
/// with the head, and nothing waits.
const NOTE: Duration = Duration::from_millis(100);

/// What is read, and for how long, of a request that is refused unread.
const LINGER: (usize, Duration) = (1 << 20, Duration::from_secs(1));

/// Reads on while a client that still uploads is told that its request is refused: closing on unread bytes resets the
/// connection, and the answer is lost with it.
pub async fn linger(mut body: Incoming) {
    let (mut room, patience) = LINGER;
    let reading = async {
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            room = match room.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(left) => left,
                None => return,
            };
        }
    };
    let _ = tokio::time::timeout(patience, reading).await;
}

/// A request's body on its way to the upstream.
pub struct RequestBody {
    inner: Incoming,
    exchange: Arc<Exchange>,
    /// Bytes that may still come; `None`: any number.
    room: Option<u64>,
    /// The end, or the error, was seen.
    over: bool,
}

impl RequestBody {
    /// Watches `inner`, which may have `limit` bytes.
    pub fn new(inner: Incoming, exchange: Arc<Exchange>, limit: Option<u64>) -> Self {
        let mut body = Self { inner, exchange, room: limit, over: false };
        if body.inner.is_end_stream() {
            body.finish(Upload::Done(body.exchange.clock.begun()));
        }
        body
    }

    /// Reads, for the trace of a call that no upstream will see, what the client has sent already.
    pub async fn take_note(mut self) {
        if self.exchange.is_traced() {
            let reading = async {
                while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {}
            };
            let _ = tokio::time::timeout(NOTE, reading).await;
        }
    }

    fn finish(&mut self, upload: Upload) {
        self.over = true;
        self.exchange.uploaded(upload);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Pending => {
                if !matches!(this.exchange.upload(), Upload::FromClient(_)) {
                    this.exchange.uploaded(Upload::FromClient(Instant::now()));
                }
                Poll::Pending
            }
            Poll::Ready(None) => {
                this.finish(Upload::Done(Instant::now()));
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.finish(Upload::Broken);
                Poll::Ready(Some(Err(BodyError::Client(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    if let Some(room) = this.room {
                        let Some(left) = room.checked_sub(data.len() as u64) else {
                            this.finish(Upload::TooLarge);
                            return Poll::Ready(Some(Err(BodyError::TooLarge)));
                        };
                        this.room = Some(left);
                    }
                    this.exchange.request_body(data);
                }
                if frame.is_trailers() || this.inner.is_end_stream() {
                    this.finish(Upload::Done(Instant::now()));
                } else {
                    this.exchange.uploaded(Upload::ToUpstream(Instant::now()));
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.over {
            // The upstream wants no more of it: it is the upstream's turn now.
            self.exchange.uploaded(Upload::Done(Instant::now()));
        }
    }
}

/// A response's body on its way to the client.
pub struct ResponseBody {
    kind: Kind,
    /// Lives as long as the body.
    _answering: Option<Answering>,
}

enum Kind {
    /// The gateway's own answer.
    Own(Option<Bytes>),
    /// The upstream's.
    Upstream(Box<Stream>),
}

/// An upstream's body and the connection that it comes from.
struct Stream {
    inner: Incoming,
    ending: Ending,
    source: Source,
    /// When the last piece came.
    last: Instant,
    /// Set up when the body first has to wait.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Where an upstream's body comes from.
pub struct Source {
    /// The connection, until it is given back.
    pub lease: Option<Lease>,
    /// How long everybody may take.
    pub patience: Patience,
    /// The service.
    pub profile: Arc<Profile>,
    /// Told when the body does not come to its end.
    pub complaints: Arc<Complaints>,
}

/// A connection in use, to be given back when the response has ended.
pub struct Lease {
    /// The pool that it goes back to.
    pub pool: Arc<Pool>,
    /// The target that it is connected to.
    pub target: Arc<Target>,
    /// The connection.
    pub sender: Sender,
}

impl Lease {
    fn give_back(self) {
        self.pool.give_back(&self.target, self.sender);
    }

    fn give_up(self) {
        self.pool.give_up(&self.target, &self.sender);
    }
}

impl ResponseBody {
    /// A body of the gateway's own.
    pub fn own(bytes: Bytes) -> Self {
        Kind::Own((!bytes.is_empty()).then_some(bytes)).into()
    }

    /// Watches the body of an upstream's response.
    pub fn upstream(inner: Incoming, ending: Ending, source: Source, now: Instant) -> Self {
        let mut stream = Box::new(Stream { inner, ending, source, last: now, timer: None });
        if stream.inner.is_end_stream() {
            stream.complete();
        }
        Kind::Upstream(stream).into()
    }

    /// Counts the request as being answered for as long as the body lives.
    pub fn counted(self, answering: Answering) -> Self {
        Self { _answering: Some(answering), ..self }
    }
}

impl From<Kind> for ResponseBody {
    fn from(kind: Kind) -> Self {
        Self { kind, _answering: None }
    }
}

impl Stream {
    fn complete(&mut self) {
        self.ending.exchange().end(End::Complete);
        if let Some(lease) = self.source.lease.take() {
            lease.give_back();
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.last = Instant::now();
                if let Some(data) = frame.data_ref() {
                    self.ending.exchange().response_body(data, self.last);
                }
                // After trailers nobody asks for more.
                if frame.is_trailers() || self.inner.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.ending.exchange().end(End::UpstreamError);
                let error = BodyError::Upstream(error);
                self.source.complaints.complain_of_half(&error, &self.source.profile.name);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => self.poll_patience(cx),
        }
    }

    /// Waits for the upstream, but not for ever. The timer looks how things stand when it fires, instead of being set
    /// anew with each piece.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (patience, last) = (self.source.patience, self.last);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until((last + patience.read).into())));
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let (until, who) = self.ending.exchange().next_piece_by(patience, last);
            if now >= until {
                if let Some(lease) = self.source.lease.take() {
                    lease.give_up();
                }
                if who == Stalled::Client {
                    self.ending.exchange().end(End::ClientGone);
                } else {
                    self.ending.exchange().end(End::Timeout);
                    self.source.complaints.complain_of_half(&BodyError::Timeout, &self.source.profile.name);
                }
                return Poll::Ready(Some(Err(BodyError::Timeout)));
            }
            timer.as_mut().reset(until.min(now + patience.read).into());
        }
        Poll::Pending
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Upstream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(bytes) => bytes.is_none(),
            Kind::Upstream(stream) => stream.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Upstream(stream) => stream.inner.size_hint(),
        }
    }
}
