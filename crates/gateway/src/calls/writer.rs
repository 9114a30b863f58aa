//! The thread that owns the writing connection: batches in, answers out, retention in between.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ai_tracing_export::clock::now;
use ai_tracing_export::exporter::Delivery;
use rusqlite::{Connection, ErrorCode};
use serde::Serialize;
use tokio::sync::{oneshot, watch};
use tracing::{error, warn};

use super::backlog;
use super::deliveries;
use super::exporter::LocalStore;
use super::file::{self, FILE_NAME, OpenError};
use super::outcomes::{Batch, Buffer, Recorder};
use super::retention::{Retainer, Retention, Space};
use super::row::Row;

/// Batches that may wait for the writer. The engine sends one at a time; more only hold memory.
const WAITING_BATCHES: usize = 4;
/// How often old calls are looked for.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// How long outcomes are gathered before they are written together.
const OUTCOMES_EVERY: Duration = Duration::from_millis(500);
/// When a full disk or a lost lock is worth another try.
const TROUBLE_AGAIN: Duration = Duration::from_secs(2);

/// What the writer thread is asked to do.
#[derive(Debug)]
pub(super) enum Message {
    /// Store these rows and say what became of them.
    Batch(Arc<[Row]>, oneshot::Sender<Delivery>),
    /// Look into the buffer of outcomes, soon.
    Outcomes,
    /// Store what was sent before this, then end.
    Stop,
}

/// The open store. Dropping it without [`Store::close`] leaves the writer running until the last exporter is gone.
#[derive(Debug)]
pub struct Store {
    sender: SyncSender<Message>,
    thread: JoinHandle<()>,
    counters: Arc<Counters>,
    changes: watch::Receiver<u64>,
    outcomes: Arc<Buffer>,
}

impl Store {
    /// Opens `traces.db` in the data directory, makes it where there is none, and starts the writer. A damaged file is
    /// moved aside and a new one begun; one of an earlier version, or that somebody holds locked, is opened by the writer.
    ///
    /// # Errors
    /// A file of a newer version, or one that cannot be opened or written.
    pub fn open(data_dir: &Path, retention: Retention) -> Result<Self, OpenError> {
        let path = data_dir.join(FILE_NAME);
        let counters = Arc::new(Counters::default());
        // The start does not wait for an older file, nor for who holds it locked: the writer does.
        let connection = match file::is_older(&path) {
            true => None,
            false => match file::open_or_replace(&path, now()) {
                Ok((connection, moved)) => {
                    if let Some(moved) = moved {
                        counters.report_replaced(&path, &moved);
                    }
                    counters.note_size(&connection);
                    Some(connection)
                }
                Err(error) if error.is_passing() => None,
                Err(error) => return Err(error),
            },
        };
        let (sender, messages) = sync_channel(WAITING_BATCHES);
        let (changed, changes) = watch::channel(0);
        let mut writer = Writer::new(path.clone(), connection, retention, Arc::clone(&counters));
        let outcomes = Arc::clone(&writer.outcomes);
        writer.changed = changed;
        let thread = std::thread::Builder::new()
            .name("local-store".into())
            .spawn(move || {
                ai_tracing_export::give_way();
                writer.run(&messages);
            })
            .map_err(|source| OpenError::Io { path, source })?;
        Ok(Self { sender, thread, counters, changes, outcomes })
    }

    /// Changes its value after each batch that was stored, so that readers need not ask again and again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// The destination to give to the engine.
    pub fn exporter(&self) -> LocalStore {
        LocalStore { sender: self.sender.clone() }
    }

    /// Who keeps account of what becomes of calls, to give to the engine.
    pub fn recorder(&self) -> Recorder {
        Recorder { buffer: Arc::clone(&self.outcomes), sender: self.sender.clone() }
    }

    /// What is known of calls and may not be in the store yet.
    pub fn outcomes(&self) -> Arc<Buffer> {
        Arc::clone(&self.outcomes)
    }

    /// What the store has done since it was opened.
    pub fn stats(&self) -> Stats {
        Stats { outcomes_dropped: self.outcomes.dropped(), ..self.counters.snapshot() }
    }

    /// Stores what was handed over, closes the file and ends the writer.
    ///
    /// # Errors
    /// The writer ended by a panic.
    pub fn close(self) -> io::Result<()> {
        // A writer that is gone already needs no telling.
        let _ = self.sender.send(Message::Stop);
        self.thread.join().map_err(|_| io::Error::other("the local store's writer panicked"))
    }
}

/// What the store has done since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Calls in the store.
    pub rows: u64,
    /// Calls stored.
    pub stored: u64,
    /// Calls that were there already: sent again after a retry.
    pub duplicates: u64,
    /// Calls that SQLite refused for good.
    pub refused: u64,
    /// Calls deleted because they were too old.
    pub aged_out: u64,
    /// Calls deleted because the file was too large.
    pub crowded_out: u64,
    /// Damaged files moved aside.
    pub replaced: u64,
    /// Size of the database file in bytes.
    pub file_bytes: u64,
    /// Outcomes of deliveries that were not stored: too many at once, or of calls that are not in the store.
    pub outcomes_dropped: u64,
    /// The last failure; `None` after a success.
    pub last_error: Option<String>,
}

/// What [`Stats`] is read from.
#[derive(Debug, Default)]
pub(super) struct Counters {
    rows: AtomicU64,
    stored: AtomicU64,
    duplicates: AtomicU64,
    refused: AtomicU64,
    aged_out: AtomicU64,
    crowded_out: AtomicU64,
    replaced: AtomicU64,
    file_bytes: AtomicU64,
    last_error: std::sync::Mutex<Option<String>>,
}

impl Counters {
    pub fn snapshot(&self) -> Stats {
        Stats {
            rows: self.rows.load(Relaxed),
            stored: self.stored.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            refused: self.refused.load(Relaxed),
            aged_out: self.aged_out.load(Relaxed),
            crowded_out: self.crowded_out.load(Relaxed),
            replaced: self.replaced.load(Relaxed),
            file_bytes: self.file_bytes.load(Relaxed),
            outcomes_dropped: 0,
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn note_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn note_size(&self, connection: &Connection) {
        if let Ok(space) = Space::of(connection) {
            self.file_bytes.store(space.file_bytes(), Relaxed);
        }
    }

    /// Counts the calls of a file that was just opened; from then on the writer keeps the number.
    fn note_rows(&self, connection: &Connection) {
        let rows = connection.query_row("SELECT count(*) FROM calls", [], |row| row.get(0)).unwrap_or(0_u32);
        self.rows.store(rows.into(), Relaxed);
    }

    fn report_replaced(&self, path: &Path, moved: &Path) {
        self.replaced.fetch_add(1, Relaxed);
        error!(
            file = %path.display(), moved_to = %moved.display(),
            "AI Tracing: the local store's file was damaged: it was moved aside and a new one begun"
        );
    }
}

/// What the thread runs.
pub(super) struct Writer {
    path: PathBuf,
    /// `None` until the file could be opened: at first, and after damage was found.
    connection: Option<Connection>,
    retainer: Retainer,
    counters: Arc<Counters>,
    /// Counts the batches that were stored.
    changed: watch::Sender<u64>,
    outcomes: Arc<Buffer>,
    /// When outcomes are to be written.
    outcomes_at: Option<Instant>,
}

impl Writer {
    pub fn new(path: PathBuf, connection: Option<Connection>, retention: Retention, counters: Arc<Counters>) -> Self {
        let (changed, _) = watch::channel(0);
        Self {
            path,
            connection,
            retainer: Retainer::new(retention),
            counters,
            changed,
            outcomes: Arc::new(Buffer::new(now())),
            outcomes_at: None,
        }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        match &self.connection {
            Some(connection) => self.counters.note_rows(connection),
            None => self.begin(),
        }
        // Retention begins at once: a gateway that was down for a month starts with old calls.
        let mut due = Instant::now();
        loop {
            let next = self.outcomes_at.map_or(due, |at| at.min(due));
            let wait = next.saturating_duration_since(Instant::now());
            // Calls that are stored may be those that outcomes wait for.
            let mut others = true;
            match messages.recv_timeout(wait) {
                Ok(Message::Batch(rows, answer)) => {
                    // A caller that gave up sends the batch again.
                    let _ = answer.send(self.store(&rows));
                    // The file may have outgrown its limit.
                    self.retain(&mut due);
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return self.write_outcomes(),
                Err(RecvTimeoutError::Timeout) if due <= Instant::now() => self.retain(&mut due),
                Ok(Message::Outcomes) | Err(RecvTimeoutError::Timeout) => others = false,
            }
            self.attend_outcomes(others);
        }
    }

    /// Writes outcomes once they have been gathered for a while, however busy the writer is; `others`: also those that
    /// were left the last time.
    fn attend_outcomes(&mut self, others: bool) {
        if self.outcomes_at.is_some_and(|at| at <= Instant::now()) {
            self.outcomes_at = None;
            self.write_outcomes();
        } else if self.outcomes_at.is_none() && self.outcomes.wants_writing(others) {
            self.outcomes_at = Some(Instant::now() + OUTCOMES_EVERY);
        }
    }

    /// What it makes rows of.
    #[cfg(test)]
    pub fn outcomes(&self) -> &Arc<Buffer> {
        &self.outcomes
    }

    /// Makes rows of what became of calls; what has no call yet waits for the next time.
    pub fn write_outcomes(&mut self) {
        // Where there is no file yet, a batch of calls opens it.
        let Some(connection) = &mut self.connection else { return };
        let batch = self.outcomes.take();
        match deliveries::write(connection, &batch, now()) {
            Ok(left) => {
                self.outcomes.lost(left.lost);
                self.outcomes.wrote(left.later);
            }
            Err(error) => {
                self.outcomes.wrote(Batch::clone(&batch));
                self.outcomes_at = Some(Instant::now() + TROUBLE_AGAIN);
                self.after(&error);
                if let Delivery::Retry { why, .. } | Delivery::Fatal { why } =
                    Trouble::Sqlite(error).delivery(&self.path)
                {
                    self.counters.note_error(Some(why));
                }
            }
        }
    }

    /// Opens a file that the start has not waited for. What cannot be opened now is tried again with each batch.
    fn begin(&mut self) {
        if let Err(trouble) = self.reopen()
            && let Delivery::Retry { why, .. } | Delivery::Fatal { why } = trouble.delivery(&self.path)
        {
            error!(%why, "AI Tracing: the local store cannot be opened: calls wait for it");
            self.counters.note_error(Some(why));
        }
    }

    /// One step of retention; `due` becomes now while there is more to do.
    pub fn retain(&mut self, due: &mut Instant) {
        *due = Instant::now() + RETENTION_EVERY;
        let Some(connection) = &self.connection else { return };
        match self.retainer.step(connection, now()) {
            Ok(step) => {
                let deleted = (step.aged_out + step.crowded_out) as u64;
                self.counters.rows.fetch_sub(deleted.min(self.counters.rows.load(Relaxed)), Relaxed);
                self.counters.aged_out.fetch_add(step.aged_out as u64, Relaxed);
                self.counters.crowded_out.fetch_add(step.crowded_out as u64, Relaxed);
                self.counters.note_size(connection);
                match step.more {
                    true => *due = Instant::now(),
                    false => self.index(due),
                }
            }
            Err(error) => {
                warn!(%error, "AI Tracing: the local store cannot delete old calls");
                self.after(&error);
            }
        }
    }

    /// One step of making the calls of an older file known to searches; `due` becomes now while there is more to do.
    fn index(&mut self, due: &mut Instant) {
        let Some(connection) = &mut self.connection else { return };
        match backlog::step(connection) {
            Ok(true) => *due = Instant::now(),
            // Last, because what is indexed fills free pages.
            Ok(false) => self.shrink(due),
            Err(error) => {
                warn!(%error, "AI Tracing: the local store cannot index older calls");
                self.after(&error);
            }
        }
    }

    /// One step of giving room back to the file system; `due` becomes now while there is more to do.
    fn shrink(&mut self, due: &mut Instant) {
        let Some(connection) = &self.connection else { return };
        match self.retainer.shrink(connection) {
            Ok(more) => {
                self.counters.note_size(connection);
                if more {
                    *due = Instant::now();
                }
            }
            Err(error) => {
                warn!(%error, "AI Tracing: the local store cannot give room back");
                self.after(&error);
            }
        }
    }

    /// Stores a batch and says what became of it.
    pub fn store(&mut self, rows: &[Row]) -> Delivery {
        let outcome = self.reopen().and_then(|connection| insert(connection, rows).map_err(Trouble::Sqlite));
        match outcome {
            Ok(inserted) => {
                self.counters.rows.fetch_add(inserted.stored, Relaxed);
                self.counters.stored.fetch_add(inserted.stored, Relaxed);
                self.counters.duplicates.fetch_add(inserted.duplicates, Relaxed);
                self.counters.refused.fetch_add(inserted.refused.len() as u64, Relaxed);
                self.counters.note_error(None);
                self.changed.send_modify(|batches| *batches += 1);
                if inserted.refused.is_empty() {
                    return Delivery::Accepted;
                }
                Delivery::Partial { rejected: inserted.refused, retry: Vec::new() }
            }
            Err(trouble) => {
                if let Trouble::Sqlite(error) = &trouble {
                    self.after(error);
                }
                let delivery = trouble.delivery(&self.path);
                if let Delivery::Retry { why, .. } | Delivery::Fatal { why } = &delivery {
                    self.counters.note_error(Some(why.clone()));
                }
                delivery
            }
        }
    }

    /// The connection, opened again where damage was found.
    fn reopen(&mut self) -> Result<&mut Connection, Trouble> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let (connection, moved) = file::open_or_replace(&self.path, now()).map_err(Trouble::Open)?;
                if let Some(moved) = moved {
                    self.counters.report_replaced(&self.path, &moved);
                }
                self.counters.note_rows(&connection);
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Damage found while running: the file is moved aside now, and the next batch begins a new one.
    fn after(&mut self, error: &rusqlite::Error) {
        if !file::is_corrupt(error) {
            return;
        }
        self.connection = None;
        self.counters.rows.store(0, Relaxed);
        match file::move_aside(&self.path, now()) {
            Ok(moved) => self.counters.report_replaced(&self.path, &moved),
            Err(error) => {
                error!(%error, file = %self.path.display(), "AI Tracing: a damaged file cannot be moved aside")
            }
        }
    }
}

#[derive(Default)]
struct Inserted {
    stored: u64,
    duplicates: u64,
    refused: Vec<(usize, String)>,
}

/// One transaction for the batch. A row that SQLite refuses for what it is does not take the others with it.
fn insert(connection: &mut Connection, rows: &[Row]) -> rusqlite::Result<Inserted> {
    let mut inserted = Inserted::default();
    let mut transaction = connection.transaction()?;
    for (index, row) in rows.iter().enumerate() {
        // A row of its own in each of several tables: all or none.
        let savepoint = transaction.savepoint()?;
        match row.insert(&savepoint) {
            Ok(true) => {
                savepoint.commit()?;
                inserted.stored += 1;
            }
            Ok(false) => inserted.duplicates += 1,
            Err(error) if is_about_the_row(&error) => inserted.refused.push((index, error.to_string())),
            Err(error) => return Err(error),
        }
    }
    transaction.commit()?;
    Ok(inserted)
}

fn is_about_the_row(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch),
        // Raised before SQLite was asked: a value that cannot be bound.
        None => matches!(error, rusqlite::Error::ToSqlConversionFailure(_)),
    }
}

/// Why a batch was not stored.
enum Trouble {
    Open(OpenError),
    Sqlite(rusqlite::Error),
}

impl Trouble {
    fn delivery(&self, path: &Path) -> Delivery {
        let file = path.display();
        let why = match self {
            // Also a file of a newer version: that is nothing about the calls.
            Self::Open(error) => error.to_string(),
            Self::Sqlite(error) => {
                let hint = match error.sqlite_error_code() {
                    Some(ErrorCode::DiskFull) => "no space left on the disk",
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another process holds it locked",
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "it is damaged",
                    Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                        "it cannot be written"
                    }
                    Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => "the disk or the memory failed",
                    // Whatever else SQLite reports is a fault that another try would repeat.
                    _ => return Delivery::Fatal { why: format!("{file}: {error}") },
                };
                format!("{file}: {hint} ({error})")
            }
        };
        Delivery::Retry { after: Some(TROUBLE_AGAIN), why }
    }
}
