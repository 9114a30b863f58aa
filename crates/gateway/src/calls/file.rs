//! The database file: opening it for writing, migrating it, moving a broken one aside.
//!
//! In: a path. Out: a connection to a file of exactly [`VERSION`]. A file of a newer version is refused untouched; a
//! file that is no database, or a damaged one, is renamed and never deleted.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ai_tracing_core::time::At;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "traces.db";

/// One script per version, in order; `PRAGMA user_version` counts how many a file has seen.
const MIGRATIONS: &[&str] = &[include_str!("v1.sql"), include_str!("v2.sql"), include_str!("v3.sql")];

/// The version of the tables that this build reads and writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// How long the writer waits for another process that holds the file; the engine tries again later.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// Why the file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A later version of the program wrote it.
    #[error(
        "{path} was written by a newer ai-tracing (tables of version {found}, this one knows {VERSION}): \
         upgrade, or choose another --data-dir"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// SQLite said no.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// True when the same file may well open a moment later: somebody holds it locked, or the disk is full.
    pub fn is_passing(&self) -> bool {
        let Self::Sqlite { source, .. } = self else { return false };
        let passing = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked, ErrorCode::DiskFull];
        source.sqlite_error_code().is_some_and(|code| passing.contains(&code))
    }

    /// True when the file's content is the problem, so that another file would do.
    fn is_corrupt(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if is_corrupt(source))
    }
}

/// True when the error says that the file's content is damaged.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Opens the file for writing, makes it where there is none, and migrates it.
///
/// # Errors
/// A newer file, or one that cannot be opened, read or written.
pub fn open(path: &Path) -> Result<Connection, OpenError> {
    create(path)?;
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let mut connection = Connection::open(path).map_err(sqlite)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    let found = version(&connection).map_err(sqlite)?;
    if found > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found });
    }
    configure(&connection).and_then(|()| migrate(&mut connection)).and_then(|()| probe(&connection)).map_err(sqlite)?;
    Ok(connection)
}

/// True for a file of an earlier version: opening it takes time, a minute for a large one. Of a file that cannot be read
/// nothing is known; opening it says more.
pub fn is_older(path: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = Connection::open_with_flags(path, flags).and_then(|connection| version(&connection));
    found.is_ok_and(|found| (1..VERSION).contains(&found))
}

/// As [`open`], but a damaged file is moved aside and a new one begun; where the old one went is returned.
///
/// # Errors
/// As [`open`], and a damaged file that cannot be renamed.
pub fn open_or_replace(path: &Path, now: At) -> Result<(Connection, Option<PathBuf>), OpenError> {
    match open(path) {
        Err(error) if error.is_corrupt() => {
            let moved = move_aside(path, now).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
            Ok((open(path)?, Some(moved)))
        }
        opened => Ok((opened?, None)),
    }
}

/// Renames the file and its companions to `<name>.corrupt-<time>`, so that recovery tools find them together.
pub(super) fn move_aside(path: &Path, now: At) -> io::Result<PathBuf> {
    let time: String = now.to_rfc3339().chars().filter(|c| c.is_ascii_alphanumeric()).take(15).collect();
    let target = with_suffix(path, &format!(".corrupt-{time}Z"));
    fs::rename(path, &target)?;
    for companion in ["-wal", "-shm"] {
        match fs::rename(with_suffix(path, companion), with_suffix(&target, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(target)
}

/// `path` with `suffix` after its file name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The file's version: 0 for an empty one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Makes the directory and an empty file that only its owner reads: traces hold what users wrote. SQLite gives its
/// companion files the same mode. An existing file keeps the mode that its operator chose.
fn create(path: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
    }
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(io)?;
    Ok(())
}

/// `auto_vacuum` comes first: it cannot be changed once the file has a page, and switching to WAL writes one.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA journal_size_limit = 67108864;",
    )
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    // The version is read inside the transaction: of two processes that start at once, the second finds the work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(version(&transaction)?).unwrap_or(0);
    if done > 0 && done < MIGRATIONS.len() {
        tracing::info!("AI Tracing: bringing the local store up to date: a large one takes a minute");
    }
    for script in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Touches the table and its main index, which finds most damage without reading the whole file. Damage deeper down
/// is met, and handled the same way, when it is written to.
fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT max(seq), max(started_at), max(id) FROM calls", [], |_| Ok(()))
}
