//! Where the command reads: the file of the local store, or a gateway's console API. Both tell the same.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::api::{Api, Events};
use crate::calls::query::{Cursor, Filter, Found, Order, Page, Position, Reader, Summary};
use crate::cli::options::Secret;

/// How often the file is looked at for new calls.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// A local store.
pub enum Source {
    /// Its file: also where no gateway runs.
    File(Box<Reader>),
    /// The gateway that writes it.
    Api(Box<Api>),
}

impl Source {
    /// The store in `data_dir`, or the one of the gateway whose console is at `url`.
    ///
    /// # Errors
    /// A file that cannot be read, or an address that is none.
    pub fn open(data_dir: &Path, url: Option<&str>, token: Option<&Secret>) -> Result<Self> {
        Ok(match url {
            Some(url) => Self::Api(Box::new(Api::new(url, token)?)),
            None => Self::File(Box::new(Reader::open(data_dir)?)),
        })
    }

    /// The first `limit` calls that match, however far away they lie.
    pub fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Summary>> {
        let (mut calls, mut cursor) = (Vec::new(), None);
        while calls.len() < limit {
            let page = self.page(filter, Order::Newest, cursor, limit - calls.len())?;
            calls.extend(page.calls);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(calls)
    }

    /// As [`Reader::page`].
    pub fn page(&self, filter: &Filter, order: Order, cursor: Option<Cursor>, limit: usize) -> Result<Page> {
        Ok(match self {
            Self::File(reader) => reader.page(filter, order, cursor, limit)?,
            Self::Api(api) => api.page(filter, order, cursor, limit)?,
        })
    }

    /// As [`Reader::record`].
    pub fn record(&self, call: &Summary) -> Result<Option<String>> {
        Ok(match self {
            Self::File(reader) => reader.record(call.seq)?,
            Self::Api(api) => api.record(&call.id)?,
        })
    }

    /// As [`Reader::http`].
    pub fn http(&self, call: &Summary) -> Result<Option<String>> {
        Ok(match self {
            Self::File(reader) => reader.http(call.seq)?,
            Self::Api(api) => api.http(&call.id)?,
        })
    }

    /// As [`Reader::find`].
    pub fn find(&self, id: &str) -> Result<Found> {
        Ok(match self {
            Self::File(reader) => reader.find(id)?,
            Self::Api(api) => api.find(id)?,
        })
    }

    /// As [`Reader::position`].
    pub fn position(&self) -> Result<Position> {
        Ok(match self {
            Self::File(reader) => reader.position()?,
            Self::Api(api) => api.position()?,
        })
    }

    /// What is stored from a position on.
    pub fn follow<'a>(&'a self, position: Position, filter: &'a Filter) -> News<'a> {
        match self {
            Self::File(reader) => News::File { reader, position, filter },
            Self::Api(api) => News::Api(Events::new(api, position, filter)),
        }
    }
}

/// Calls as they are stored.
pub enum News<'a> {
    /// Looked for again and again.
    File {
        /// The file.
        reader: &'a Reader,
        /// How far it has been read.
        position: Position,
        /// What is looked for.
        filter: &'a Filter,
    },
    /// Told by the gateway.
    Api(Events<'a>),
}

impl News<'_> {
    /// Waits for the next ones, in the order of storing.
    pub fn next(&mut self) -> Result<Vec<Summary>> {
        match self {
            Self::File { reader, position, filter } => loop {
                let calls = reader.follow(position, filter)?;
                if !calls.is_empty() {
                    return Ok(calls);
                }
                std::thread::sleep(FOLLOW_EVERY);
            },
            Self::Api(events) => Ok(events.next()?),
        }
    }

    /// As [`Source::record`], by the same connection.
    pub fn record(&mut self, call: &Summary) -> Result<Option<String>> {
        Ok(match self {
            Self::File { reader, .. } => reader.record(call.seq)?,
            Self::Api(events) => events.record(&call.id)?,
        })
    }
}
