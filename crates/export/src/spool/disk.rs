//! What the spool asks of a file system, and the real one. Tests put one in its place that forgets, tears and fails.

use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

/// Directories of files below the spool's own; `""` names that itself. Names are plain: no separators.
pub(crate) trait Disk: Send + Sync {
    /// Names in a directory, in no order.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes a directory and those above it; one that exists is fine.
    fn make_dir(&self, dir: &str) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;
    /// Opens a file for reading and writing.
    fn open(&self, dir: &str, name: &str) -> io::Result<Arc<dyn File>>;
    /// Makes a file; one that is there is an error.
    fn begin(&self, dir: &str, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file, or makes it.
    fn create(&self, dir: &str, name: &str) -> io::Result<Arc<dyn File>>;
    /// Removes a file; one that is not there is fine.
    fn remove(&self, dir: &str, name: &str) -> io::Result<()>;
    /// The directory as a file, whose `sync` makes the names in it last.
    fn names(&self, dir: &str) -> io::Result<Arc<dyn File>>;
    /// Locks the directory's file [`LOCK`] for as long as the answer lives; `None`: somebody else has it.
    fn lock(&self, dir: &str) -> io::Result<Option<Arc<dyn File>>>;
}

/// An open file.
pub(crate) trait File: Send + Sync {
    /// Reads up to as many bytes as there is room; fewer only at the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes, or fails with some of them written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file to a length.
    fn cut(&self, len: u64) -> io::Result<()>;
    /// Returns when the contents would survive a power cut.
    fn sync(&self) -> io::Result<()>;
    /// How long the file is, and whether it still has a name.
    fn state(&self) -> io::Result<FileState>;
}

/// See [`File::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    pub len: u64,
    pub linked: bool,
}

/// The file whose lock says that a process lives.
pub(crate) const LOCK: &str = "lock";

/// A directory of the real file system. What it makes is its owner's alone: it holds what users wrote.
pub(crate) struct Directory(pub PathBuf);

impl Directory {
    fn path(&self, dir: &str) -> PathBuf {
        if dir.is_empty() { self.0.clone() } else { self.0.join(dir) }
    }

    fn open_file(&self, dir: &str, name: &str, options: &mut OpenOptions) -> io::Result<fs::File> {
        options.read(true).write(true).mode(0o600).open(self.path(dir).join(name))
    }
}

impl Disk for Directory {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.path(dir))?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.path(dir))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        fs::remove_dir(self.path(dir))
    }

    fn open(&self, dir: &str, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_file(dir, name, &mut OpenOptions::new())?))
    }

    fn begin(&self, dir: &str, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_file(dir, name, OpenOptions::new().create_new(true))?))
    }

    fn create(&self, dir: &str, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_file(dir, name, OpenOptions::new().create(true))?))
    }

    fn remove(&self, dir: &str, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(dir).join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn names(&self, dir: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(fs::File::open(self.path(dir))?))
    }

    fn lock(&self, dir: &str) -> io::Result<Option<Arc<dyn File>>> {
        let file = self.open_file(dir, LOCK, OpenOptions::new().create(true))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Who had the lock before may have removed the file, and with it what the lock means.
        let (ours, named) = (file.metadata()?, fs::metadata(self.path(dir).join(LOCK)));
        let same = named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
        Ok(same.then(|| Arc::new(file) as Arc<dyn File>))
    }
}

impl File for fs::File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match std::os::unix::fs::FileExt::read_at(self, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn state(&self) -> io::Result<FileState> {
        let metadata = self.metadata()?;
        Ok(FileState { len: metadata.len(), linked: metadata.nlink() > 0 })
    }
}
