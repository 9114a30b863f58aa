//! The configuration in an embedded SQLite database: it survives a restart.
//!
//! Entities are JSON documents; id, name and references stand beside them as columns, so that the database itself
//! holds the constraints that [`super::tables`] checks first. The file belongs to one process at a time: what is in
//! memory is what is in the file. It holds credentials of plugins, so only its owner may read it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, params};
use serde_json::Value;

use super::kind::Kind;
use super::tables::{Tables, id_of, reference, text};

/// One entry per version of the file's layout, applied in order. An entry never changes once released.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE services (
        id TEXT PRIMARY KEY, name TEXT UNIQUE, document TEXT NOT NULL) STRICT;
    CREATE TABLE routes (
        id TEXT PRIMARY KEY, name TEXT UNIQUE, service TEXT REFERENCES services (id), document TEXT NOT NULL) STRICT;
    CREATE TABLE plugins (
        id TEXT PRIMARY KEY, name TEXT UNIQUE, plugin TEXT NOT NULL,
        service TEXT REFERENCES services (id) ON DELETE CASCADE,
        route TEXT REFERENCES routes (id) ON DELETE CASCADE,
        document TEXT NOT NULL) STRICT;
    CREATE UNIQUE INDEX plugins_scope ON plugins (plugin, ifnull(service, ''), ifnull(route, ''));
"];

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be created or read.
    #[error("cannot open the configuration database {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// Another process has it open.
    #[error("the configuration database {0} is in use by another process")]
    InUse(PathBuf),
    /// Written by a newer version of this program.
    #[error(
        "the configuration database {path} has layout version {found}, and this program knows versions up to {known}: \
         use the newer program that wrote it, or another data directory"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: usize,
    },
    /// Not a database, or a broken one.
    #[error("the configuration database {path} cannot be read: {why}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: rusqlite::Error,
    },
    /// A document in it is not JSON.
    #[error("the configuration database {path} cannot be read: entity {id} is not JSON")]
    Document {
        /// The file.
        path: PathBuf,
        /// The entity.
        id: String,
    },
}

/// An open database.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens the file, creating it (readable by its owner only) and bringing its layout up to date as needed, and
    /// reads everything in it.
    pub fn open(path: &Path) -> Result<(Self, Tables), OpenError> {
        create(path).map_err(|why| OpenError::File { path: path.to_owned(), why })?;
        let broken = |why: rusqlite::Error| match why.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                OpenError::InUse(path.to_owned())
            }
            _ => OpenError::Broken { path: path.to_owned(), why },
        };
        let mut connection = Connection::open(path).map_err(broken)?;
        connection.busy_timeout(std::time::Duration::ZERO).map_err(broken)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(broken)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(broken)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(broken)?;
        // The file is small and written by hand: each change is on disk before it is answered.
        connection.pragma_update(None, "synchronous", "FULL").map_err(broken)?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(broken)?;
        let known = MIGRATIONS.len();
        let from = usize::try_from(found).ok().filter(|from| *from <= known);
        let Some(from) = from else {
            return Err(OpenError::Newer { path: path.to_owned(), found, known });
        };
        migrate(&mut connection, from).map_err(broken)?;
        let tables = read(&connection).map_err(|why| match why {
            ReadError::Sqlite(why) => broken(why),
            ReadError::Document(id) => OpenError::Document { path: path.to_owned(), id },
        })?;
        Ok((Self { connection }, tables))
    }

    /// Whether the database can be read.
    pub fn answers(&self) -> bool {
        self.connection.query_row("SELECT count(*) FROM services", [], |_| Ok(())).is_ok()
    }

    /// Runs statements as they are, to break things.
    #[cfg(test)]
    pub fn execute(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// Writes the difference between two configurations, calls `then`, and commits; nothing is written when `then`
    /// refuses.
    pub fn write<E: From<rusqlite::Error>>(
        &mut self,
        old: &Tables,
        new: &Tables,
        then: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let transaction = self.connection.transaction()?;
        for kind in Kind::ALL.into_iter().rev() {
            for id in old.all(kind).keys().filter(|id| !new.all(kind).contains_key(*id)) {
                transaction.execute(&format!("DELETE FROM {} WHERE id = ?1", kind.name()), [id])?;
            }
        }
        for kind in Kind::ALL {
            for (id, doc) in new.all(kind) {
                if old.get(kind, id) != Some(doc) {
                    put(&transaction, kind, doc)?;
                }
            }
        }
        then()?;
        Ok(transaction.commit()?)
    }
}

fn create(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn migrate(connection: &mut Connection, from: usize) -> rusqlite::Result<()> {
    for (version, sql) in (1_i64..).zip(MIGRATIONS).skip(from) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

enum ReadError {
    Sqlite(rusqlite::Error),
    Document(String),
}

impl From<rusqlite::Error> for ReadError {
    fn from(why: rusqlite::Error) -> Self {
        Self::Sqlite(why)
    }
}

fn read(connection: &Connection) -> Result<Tables, ReadError> {
    let mut tables = Tables::default();
    for kind in Kind::ALL {
        let mut statement = connection.prepare(&format!("SELECT id, document FROM {} ORDER BY id", kind.name()))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, document): (String, String) = (row.get(0)?, row.get(1)?);
            let fits = serde_json::from_str(&document).ok().and_then(|doc| tables.insert(kind, doc).ok());
            fits.ok_or(ReadError::Document(id))?;
        }
    }
    Ok(tables)
}

fn put(transaction: &Transaction<'_>, kind: Kind, doc: &Value) -> rusqlite::Result<()> {
    let (id, name, document) = (id_of(doc), text(doc, kind.endpoint_key()), doc.to_string());
    let (service, route) = (reference(doc, Kind::Services), reference(doc, Kind::Routes));
    match kind {
        Kind::Services => transaction.execute(
            "INSERT INTO services (id, name, document) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET name = ?2, document = ?3",
            params![id, name, document],
        ),
        Kind::Routes => transaction.execute(
            "INSERT INTO routes (id, name, service, document) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET name = ?2, service = ?3, document = ?4",
            params![id, name, service, document],
        ),
        Kind::Plugins => transaction.execute(
            "INSERT INTO plugins (id, name, plugin, service, route, document) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET name = ?2, plugin = ?3, service = ?4, route = ?5, document = ?6",
            params![id, name, text(doc, "name"), service, route, document],
        ),
    }
    .map(drop)
}
