//! Dead letters: what a destination will never take, kept for people to look at, to send again or to throw away.
//!
//! `SPOOL/dead/<uuid v7>.jsonl`, one letter a line, for all processes of a node:
//!
//! ```text
//! {"at":"2026-01-02T03:04:05.678901Z","lane":"<32 hex digits>","label":"langfuse …","why":"HTTP 400: …","record":{…}}
//! ```
//!
//! A writer locks the newest file for one line and goes to a new file where somebody else has it, so it never waits.
//! Who takes letters out holds a file's lock while it is read and replaced.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ai_tracing_core::time::{At, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::LaneKey;
use super::entry::MAX_PAYLOAD;

const DIRECTORY: &str = "dead";
/// Bytes of dead letters that are kept unless told otherwise; above it the oldest file goes.
pub(crate) const MAX_BYTES: u64 = 256 << 20;
/// A file that has so many bytes is not written any more.
const FILE_BYTES: u64 = 4 << 20;
/// The longest line that is read.
const MAX_LINE: u64 = MAX_PAYLOAD as u64 + (64 << 10);

/// One record that was refused.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct DeadLetter {
    /// When it was given up.
    #[serde(with = "rfc3339")]
    pub at: At,
    /// The destination that refused it.
    pub lane: LaneKey,
    /// The same for people.
    pub label: String,
    /// What the destination said.
    pub why: String,
    /// The record's JSON.
    pub record: Box<RawValue>,
}

/// The dead letters of a spool.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters {
    dir: PathBuf,
    max_bytes: u64,
    sync: bool,
}

impl DeadLetters {
    /// Those in a spool's directory; `sync`: each is made to survive a power cut.
    pub fn new(spool: &Path, max_bytes: u64, sync: bool) -> Self {
        Self { dir: spool.join(DIRECTORY), max_bytes, sync }
    }

    /// Adds one, and says how many older ones made room for it.
    ///
    /// # Errors
    /// When the disk does not take it; nothing of it stays then.
    pub fn append(&self, letter: &DeadLetter) -> io::Result<u64> {
        let mut line = serde_json::to_vec(letter)?;
        // JSON that was written elsewhere may be laid out in lines.
        line.retain(|byte| *byte != b'\n' && *byte != b'\r');
        line.push(b'\n');
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let mut file = match self.files()?.last() {
            Some(newest) => writable(newest)?,
            None => None,
        };
        if file.is_none() {
            let name = self.dir.join(format!("{}.jsonl", Uuid::now_v7()));
            file = Some(OpenOptions::new().append(true).create_new(true).mode(0o600).open(name)?);
        }
        if let Some(mut file) = file {
            let len = file.metadata()?.len();
            let written = file.write_all(&line).and_then(|()| if self.sync { file.sync_data() } else { Ok(()) });
            if let Err(error) = written {
                file.set_len(len)?;
                return Err(error);
            }
        }
        self.make_room()
    }

    /// Shows every letter to `see`; how many lines could not be read.
    pub fn visit(&self, mut see: impl FnMut(&DeadLetter)) -> io::Result<u64> {
        let mut unreadable = 0;
        for path in self.files()? {
            let Some(file) = opened(&path, OpenOptions::new().read(true))? else { continue };
            lines(&file, |line| {
                match serde_json::from_slice(line) {
                    Ok(letter) => see(&letter),
                    Err(_) => unreadable += 1,
                }
                Ok(())
            })?;
        }
        Ok(unreadable)
    }

    /// Takes the letters out that `wanted` picks. They go to `keep` file by file, and are gone from here only after it
    /// has succeeded. How many that were.
    pub fn take(
        &self,
        wanted: impl Fn(&DeadLetter) -> bool,
        mut keep: impl FnMut(Vec<DeadLetter>) -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut count = 0;
        for path in self.files()? {
            let Some(file) = opened(&path, OpenOptions::new().read(true).append(true))? else { continue };
            file.lock()?;
            if file.metadata()?.nlink() == 0 {
                continue;
            }
            let (mut taken, mut rest) = (Vec::new(), Vec::new());
            lines(&file, |line| {
                match serde_json::from_slice(line) {
                    Ok(letter) if wanted(&letter) => taken.push(letter),
                    // What cannot be read stays: it is not ours to throw away.
                    _ => rest.extend_from_slice(line),
                }
                Ok(())
            })?;
            if taken.is_empty() {
                continue;
            }
            count += taken.len() as u64;
            keep(taken)?;
            if !rest.is_empty() {
                // A name of its own, and the old one is removed after: a writer that has the old file open sees that.
                let name = self.dir.join(format!("{}.jsonl", Uuid::now_v7()));
                let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(name)?;
                file.write_all(&rest)?;
                file.sync_data()?;
            }
            fs::remove_file(&path)?;
        }
        Ok(count)
    }

    /// Files in the order in which they were begun.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort_unstable();
        Ok(files)
    }

    /// Removes the oldest files while all together are too large; how many letters that cost.
    fn make_room(&self) -> io::Result<u64> {
        let sizes = |path: PathBuf| fs::metadata(&path).map(|metadata| (path, metadata.len())).ok();
        let files: Vec<_> = self.files()?.into_iter().filter_map(sizes).collect();
        let mut total: u64 = files.iter().map(|(_, len)| len).sum();
        let (mut lost, newest) = (0, files.len().saturating_sub(1));
        for (path, len) in files.into_iter().take(newest) {
            if total <= self.max_bytes {
                break;
            }
            if let Some(file) = opened(&path, OpenOptions::new().read(true))? {
                lines(&file, |_| {
                    lost += 1;
                    Ok(())
                })?;
                fs::remove_file(&path)?;
            }
            total -= len;
        }
        Ok(lost)
    }
}

/// The file, locked for a line; `None` where it is full, held by somebody or just being replaced.
fn writable(path: &Path) -> io::Result<Option<File>> {
    let Some(mut file) = opened(path, OpenOptions::new().read(true).append(true))? else { return Ok(None) };
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let metadata = file.metadata()?;
    if metadata.nlink() == 0 || metadata.len() >= FILE_BYTES {
        return Ok(None);
    }
    // A process that was killed may have left half a line.
    let mut last = [0];
    if metadata.len() > 0 {
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut last, metadata.len() - 1)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(Some(file))
}

/// An open file; `None` when it has just been removed.
fn opened(path: &Path, options: &OpenOptions) -> io::Result<Option<File>> {
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

/// Shows every line, with its end.
fn lines(file: &File, mut see: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.len() as u64 == MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
        }
        see(&line)?;
    }
}
