//! The inputs: files, what is in directories, standard input; each of them plain or gzip.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

/// Read at a time.
const BLOCK: usize = 64 << 10;
/// Begins every gzip file (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Bytes read from all inputs, before decompression.
#[derive(Clone, Debug, Default)]
pub struct Counter(Rc<Cell<u64>>);

impl Counter {
    /// The bytes so far.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Source {
    /// Opens the input; what is compressed is decompressed on the way.
    pub fn open(&self, counter: &Counter) -> io::Result<Box<dyn BufRead>> {
        let raw: Box<dyn Read> = match self {
            Self::Stdin => Box::new(io::stdin().lock()),
            Self::File(path) => Box::new(File::open(path)?),
        };
        decompressed(Counted { inner: raw, counter: counter.clone() })
    }
}

fn decompressed(mut raw: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut start = Vec::new();
    raw.by_ref().take(GZIP.len() as u64).read_to_end(&mut start)?;
    let is_gzip = start == GZIP;
    let whole = BufReader::with_capacity(BLOCK, Cursor::new(start).chain(raw));
    Ok(if is_gzip {
        Box::new(BufReader::with_capacity(BLOCK, Gzip(MultiGzDecoder::new(whole))))
    } else {
        Box::new(whole)
    })
}

/// Decompresses, and says so when it cannot.
struct Gzip<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other("its gzip data ends too early"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => io::Error::other("its gzip data is corrupt"),
            _ => error,
        })
    }
}

struct Counted {
    inner: Box<dyn Read>,
    counter: Counter,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    let count = *read.as_ref().unwrap_or(&0) as u64;
                    self.counter.0.set(self.counter.0.get() + count);
                    return read;
                }
            }
        }
    }
}

/// The inputs that the arguments stand for, in their order, and what is wrong with the others.
pub fn find(arguments: &[PathBuf]) -> (Vec<Source>, Vec<String>) {
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for argument in arguments {
        if argument.as_os_str() == "-" {
            sources.push(Source::Stdin);
            continue;
        }
        match argument.metadata() {
            Ok(about) if about.is_dir() => {
                let found = below(argument, &mut problems);
                if found.is_empty() {
                    problems.push(format!("{}: no *.har or *.har.gz in this directory", argument.display()));
                }
                sources.extend(found.into_iter().map(Source::File));
            }
            Ok(_) => sources.push(Source::File(argument.clone())),
            Err(error) => problems.push(format!("{}: {error}", argument.display())),
        }
    }
    (sources, problems)
}

/// All HAR files below a directory, sorted. Linked directories are not entered: they may lead back.
fn below(directory: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.unwrap_or_else(|error| {
            problems.push(format!("{}: {error}", directory.display()));
            Vec::new()
        });
        for entry in entries {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            } else if is_har(&path) && !path.is_dir() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn is_har(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.ends_with(".har") || name.ends_with(".har.gz")
}

/// Bytes of all inputs together; `None` where that is not known.
pub fn size(sources: &[Source]) -> Option<u64> {
    let sizes = sources.iter().map(|source| match source {
        Source::Stdin => None,
        Source::File(path) => path.metadata().ok().filter(std::fs::Metadata::is_file).map(|about| about.len()),
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn gzip_is_told_by_its_first_bytes() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let gzip = gzip.finish().unwrap();
        let read = |bytes: Vec<u8>| {
            let mut text = String::new();
            decompressed(Cursor::new(bytes)).unwrap().read_to_string(&mut text).map(|_| text).map_err(|e| e.to_string())
        };
        assert_eq!(read(gzip.clone()), Ok("hello".into()));
        assert_eq!(read([gzip.clone(), gzip.clone()].concat()), Ok("hellohello".into()));
        for plain in ["", "{", "{}"] {
            assert_eq!(read(plain.into()), Ok(plain.into()));
        }
        assert_eq!(read(gzip[..gzip.len() - 9].to_vec()), Err("its gzip data ends too early".into()));
        let mut corrupt = gzip;
        corrupt[12] ^= 0xff;
        assert_eq!(read(corrupt), Err("its gzip data is corrupt".into()));
    }

    #[test]
    fn directories_give_their_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("b/c")).unwrap();
        for name in ["z.har", "a.HAR.gz", "b/c/x.har", "b/readme.md", "har"] {
            std::fs::write(at(name), "{}").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), at("b/loop.har")).unwrap();
        let (sources, problems) = find(&[folder.path().to_owned(), "-".into(), at("har"), at("gone.har")]);
        let names: Vec<_> =
            sources.iter().map(|source| source.to_string().replace(folder.path().to_str().unwrap(), "")).collect();
        assert_eq!(names, ["/a.HAR.gz", "/b/c/x.har", "/z.har", "-", "/har"]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("gone.har: No such file"), "{problems:?}");
        assert_eq!(size(&sources), None);
        assert_eq!(size(&[Source::File(at("har")), Source::File(at("z.har"))]), Some(4));
        std::fs::create_dir(at("empty")).unwrap();
        assert!(find(&[at("empty")]).1[0].ends_with("empty: no *.har or *.har.gz in this directory"));
    }
}
