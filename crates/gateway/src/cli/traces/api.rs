//! A gateway's console API (docs/api/openapi.yaml), asked over HTTP.

mod events;

use std::error::Error;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::calls::query::{Cursor, Filter, Found, NO_HTTP, Order, Page, Position, Summary};
use crate::cli::options::Secret;
use crate::console::{NO_CALL, query_of};
use crate::term::text::line;
use crate::tls;

pub use events::Events;

/// Longest time in which nothing comes: sums aside, a store of any size answers in less.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of one answer: more than any record has.
const MAX_ANSWER: usize = 1 << 30;

/// Why there is no good answer; each one line.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers, or the answer broke off.
    #[error("no answer from {url}: {why} (does the gateway run, and its console listen there?)")]
    NoAnswer {
        /// The console's address.
        url: String,
        /// What happened.
        why: String,
    },
    /// 401.
    #[error("{url} {}", if *.given { "does not take the token in AI_TRACING_CONSOLE_TOKEN" } else { "asks for its token: set AI_TRACING_CONSOLE_TOKEN" })]
    Token {
        /// The console's address.
        url: String,
        /// A token was shown.
        given: bool,
    },
    /// Somebody else answers, or the API of another version.
    #[error(
        "{url} does not answer as the console of this ai-tracing does: {why} (another address, or an older gateway?)"
    )]
    Foreign {
        /// The console's address.
        url: String,
        /// What is different.
        why: String,
    },
    /// The console says why it does not answer.
    #[error("{url}: {why}")]
    Refused {
        /// The console's address.
        url: String,
        /// In its words.
        why: String,
    },
}

/// A console's API. Keeps its connections.
pub struct Api {
    runtime: Runtime,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// Its address, without a slash at the end.
    url: String,
    authorization: Option<HeaderValue>,
}

impl Api {
    /// The API of the console at `url`, such as `http://127.0.0.1:8002`.
    ///
    /// # Errors
    /// The address or the token is none.
    pub fn new(url: &str, token: Option<&Secret>) -> Result<Self> {
        let parsed = url::Url::parse(url).ok().filter(|parsed| matches!(parsed.scheme(), "http" | "https"));
        let parsed = parsed.context("--url: not an address such as http://127.0.0.1:8002")?;
        ensure!(
            parsed.username().is_empty() && parsed.password().is_none(),
            "--url: credentials do not belong there: set AI_TRACING_CONSOLE_TOKEN"
        );
        ensure!(parsed.query().is_none() && parsed.fragment().is_none(), "--url: ends with its host or a path");
        let authorization = match token {
            Some(Secret(token)) => {
                let value = HeaderValue::try_from(format!("Bearer {token}"));
                let mut value = value.ok().context("AI_TRACING_CONSOLE_TOKEN: not a token")?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let https = HttpsConnectorBuilder::new().with_tls_config(tls::verified()?).https_or_http().enable_http1();
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            client: Client::builder(TokioExecutor::new()).build(https.build()),
            url: parsed.as_str().trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    /// As [`crate::calls::query::Reader::page`]; the page may be shorter.
    pub fn page(&self, filter: &Filter, order: Order, cursor: Option<Cursor>, limit: usize) -> Result<Page, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            calls: Vec<Summary>,
            next: Option<String>,
        }
        let order = match order {
            Order::Newest => "newest",
            Order::Oldest => "oldest",
        };
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let answer: Answer = self.json(&format!("calls?limit={limit}&order={order}{cursor}&{}", query_of(filter)))?;
        let next = answer.next.map(|next| Cursor::parse(&next).ok_or_else(|| self.foreign("an unknown cursor")));
        Ok(Page { calls: answer.calls, next: next.transpose()? })
    }

    /// As [`crate::calls::query::Reader::position`].
    pub fn position(&self) -> Result<Position, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            position: i64,
        }
        self.json("calls?limit=1").map(|Answer { position }| Position(position))
    }

    /// As [`crate::calls::query::Reader::record`].
    pub fn record(&self, id: &str) -> Result<Option<String>, ApiError> {
        self.part(id, "record", NO_CALL)
    }

    /// As [`crate::calls::query::Reader::http`].
    pub fn http(&self, id: &str) -> Result<Option<String>, ApiError> {
        self.part(id, "http", NO_HTTP)
    }

    /// The JSON of a call's part; `none` is the message for: there is none.
    fn part(&self, id: &str, part: &str, none: &str) -> Result<Option<String>, ApiError> {
        let (status, body) = self.get(&format!("calls/{}/{part}", encoded(id)))?;
        match status {
            StatusCode::OK => {
                String::from_utf8(body.into()).map(Some).map_err(|_| self.foreign("JSON that is no text"))
            }
            StatusCode::NOT_FOUND if message(&body).as_deref().is_some_and(|it| it == none || it == NO_CALL) => {
                Ok(None)
            }
            _ => Err(self.refused(status, &body)),
        }
    }

    /// As [`crate::calls::query::Reader::find`].
    pub fn find(&self, id: &str) -> Result<Found, ApiError> {
        #[derive(Deserialize)]
        struct One {
            call: Box<Summary>,
            is_trace: bool,
        }
        #[derive(Deserialize)]
        struct Several {
            calls: Vec<Summary>,
        }
        let (status, body) = self.get(&format!("calls/{}", encoded(id)))?;
        match status {
            StatusCode::OK => self.read(&body).map(|One { call, is_trace }| match is_trace {
                true => Found::Trace(call),
                false => Found::Call(call),
            }),
            StatusCode::MULTIPLE_CHOICES => self.read(&body).map(|Several { calls }| Found::Ambiguous(calls)),
            StatusCode::NOT_FOUND if message(&body).as_deref() == Some(NO_CALL) => Ok(Found::Nothing),
            _ => Err(self.refused(status, &body)),
        }
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        match self.get(path)? {
            (StatusCode::OK, body) => self.read(&body),
            (status, body) => Err(self.refused(status, &body)),
        }
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ApiError> {
        serde_json::from_slice(body).map_err(|error| self.foreign(&error.to_string()))
    }

    /// The whole answer to `path`, which comes without `/api/v1/`.
    fn get(&self, path: &str) -> Result<(StatusCode, Bytes), ApiError> {
        self.runtime.block_on(async {
            let response = self.ask(path).await?;
            let (head, mut body) = response.into_parts();
            let mut read = BytesMut::new();
            while let Some(data) = self.more(&mut body).await? {
                if read.len() + data.len() > MAX_ANSWER {
                    return Err(self.foreign("an answer of more than a gigabyte"));
                }
                read.extend_from_slice(&data);
            }
            Ok((head.status, read.freeze()))
        })
    }

    /// The answer's head.
    async fn ask(&self, path: &str) -> Result<Response<Incoming>, ApiError> {
        let mut request = Request::get(format!("{}/api/v1/{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::new()).map_err(|error| self.no_answer(&error))?;
        let answer = tokio::time::timeout(TIMEOUT, self.client.request(request)).await;
        let response = answer.map_err(|_| self.silent())?.map_err(|error| self.no_answer(&error))?;
        match response.status() {
            StatusCode::UNAUTHORIZED => {
                Err(ApiError::Token { url: self.url.clone(), given: self.authorization.is_some() })
            }
            _ => Ok(response),
        }
    }

    /// The next piece of a body; `None` at its end.
    async fn more(&self, body: &mut Incoming) -> Result<Option<Bytes>, ApiError> {
        match tokio::time::timeout(TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(self.no_answer(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> ApiError {
        let why = format!("nothing came for {} s", TIMEOUT.as_secs());
        ApiError::NoAnswer { url: self.url.clone(), why }
    }

    /// The innermost cause says what happened; the outer errors only say where.
    fn no_answer(&self, error: &(dyn Error + 'static)) -> ApiError {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        // What an I/O error wraps is not its source.
        let io = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let why = io.map_or_else(|| cause.to_string(), ToString::to_string);
        ApiError::NoAnswer { url: self.url.clone(), why }
    }

    fn foreign(&self, why: &str) -> ApiError {
        ApiError::Foreign { url: self.url.clone(), why: line(why).into_owned() }
    }

    /// An answer that is none of those that were expected.
    fn refused(&self, status: StatusCode, body: &[u8]) -> ApiError {
        let Some(message) = message(body) else { return self.foreign(&status.to_string()) };
        // A path or a parameter that it does not know.
        if status == StatusCode::NOT_FOUND || message.ends_with(": no such parameter") {
            return self.foreign(&message);
        }
        ApiError::Refused { url: self.url.clone(), why: line(&message).into_owned() }
    }
}

/// What an answer says besides its status.
fn message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    serde_json::from_slice(body).ok().map(|Message { message }| message)
}

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}
