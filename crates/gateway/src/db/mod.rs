//! The source of truth for services, routes and plugins.
//!
//! All of it is in memory ([`tables`]) and, unless it came from a declarative file, in an embedded database as well
//! ([`sqlite`]). There is one writer at a time, and each change goes the same way:
//!
//! ```text
//! validate ─► a copy with the change ─► constraints ─► database transaction ─► apply to the proxy ─► commit ─► live
//! ```
//!
//! Whatever refuses, nothing has changed: not the proxy, not the database, not what the Admin API shows.

mod crud;
pub mod declarative;
mod error;
mod kind;
mod lua;
mod page;
mod sqlite;
mod tables;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::Value;

pub use crud::{Reference, plugin_names};
pub use error::{DbError, Refusal};
pub use kind::Kind;
pub use page::{Page, Paging};
pub use sqlite::OpenError;
pub use tables::{Tables, id_of, reference, text};

use crate::entity::Entities;
use sqlite::Sqlite;

/// Makes a configuration live in the proxy, or says why it cannot be. Called with each candidate before it is kept.
pub type Apply = Arc<dyn Fn(&Entities) -> Result<(), String> + Send + Sync>;

/// The wall clock: seconds since the epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The configuration.
pub struct Db {
    live: ArcSwap<Live>,
    /// The single writer's part; `None`: the configuration is declarative, and lives in memory only.
    storage: Mutex<Option<Sqlite>>,
    declarative: bool,
    apply: Apply,
    clock: Clock,
}

/// What is live.
#[derive(Debug)]
struct Live {
    tables: Arc<Tables>,
    digest: String,
}

impl Live {
    fn new(tables: Tables) -> Self {
        Self { digest: tables.digest(), tables: Arc::new(tables) }
    }
}

/// Why the configuration could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is in it cannot be made live.
    #[error("the stored configuration cannot be applied: {0}")]
    Apply(#[from] DbError),
}

impl Db {
    /// Opens the embedded database (`config.db` in the data directory), and makes what is in it live.
    pub fn open(path: &Path, apply: Apply, clock: Clock) -> Result<Self, StartError> {
        let (sqlite, tables) = Sqlite::open(path)?;
        let db = Self::new(Some(sqlite), apply, clock);
        db.make_live(&tables)?;
        db.live.store(Arc::new(Live::new(tables)));
        Ok(db)
    }

    /// Without a database: empty until [`Db::load`].
    pub fn declarative(apply: Apply, clock: Clock) -> Self {
        Self::new(None, apply, clock)
    }

    fn new(storage: Option<Sqlite>, apply: Apply, clock: Clock) -> Self {
        let live = ArcSwap::from_pointee(Live::new(Tables::default()));
        Self { live, declarative: storage.is_none(), storage: Mutex::new(storage), apply, clock }
    }

    /// Replaces everything with a declarative document. On errors everything stays as it was.
    pub fn load(&self, document: Value) -> Result<Arc<Tables>, LoadError> {
        Ok(self.replace(declarative::parse(document, self.now())?)?)
    }

    /// Replaces everything in memory. On errors everything stays as it was.
    pub fn replace(&self, tables: Tables) -> Result<Arc<Tables>, DbError> {
        let _writer = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_live(&tables)?;
        let live = Arc::new(Live::new(tables));
        self.live.store(live.clone());
        Ok(live.tables.clone())
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Whether the database answers. A database that is being written to does.
    pub fn is_reachable(&self) -> bool {
        match self.storage.try_lock().as_deref() {
            Ok(Some(sqlite)) => sqlite.answers(),
            _ => true,
        }
    }

    /// What is live.
    pub fn tables(&self) -> Arc<Tables> {
        self.live.load().tables.clone()
    }

    /// A digest of what is live; changes with each change of the configuration, and with nothing else.
    pub fn digest(&self) -> String {
        self.live.load().digest.clone()
    }

    /// Whether the configuration comes from a declarative document, so that single entities cannot be written.
    pub fn is_declarative(&self) -> bool {
        self.declarative
    }

    /// Kong's name of the strategy: `off`, or the database's.
    pub fn strategy(&self) -> &'static str {
        if self.declarative { "off" } else { "sqlite" }
    }

    /// Changes the configuration, or nothing.
    fn change<T>(&self, change: impl FnOnce(&mut Tables) -> Result<T, DbError>) -> Result<T, DbError> {
        let mut storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.tables();
        let mut new = Tables::clone(&old);
        let out = change(&mut new)?;
        if new == *old {
            return Ok(out);
        }
        let mut applied = false;
        let mut make_live = || {
            self.make_live(&new)?;
            applied = true;
            Ok(())
        };
        let written = match storage.as_mut() {
            Some(sqlite) => sqlite.write(&old, &new, make_live),
            None => make_live(),
        };
        if let Err(why) = written {
            if applied {
                // The commit failed: the proxy goes back to what is still in the database.
                self.make_live(&old)?;
            }
            return Err(why);
        }
        self.live.store(Arc::new(Live::new(new)));
        Ok(out)
    }

    fn make_live(&self, tables: &Tables) -> Result<(), DbError> {
        (self.apply)(&tables.entities()?).map_err(|why| Refusal::entity(&why).into())
    }
}

/// Why a declarative document did not become the configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] declarative::Errors),
    /// It is valid, and cannot be made live.
    #[error(transparent)]
    Apply(#[from] DbError),
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the entities: they hold credentials.
        f.debug_struct("Db").field("strategy", &self.strategy()).field("digest", &self.digest()).finish()
    }
}

#[cfg(test)]
mod tests;
