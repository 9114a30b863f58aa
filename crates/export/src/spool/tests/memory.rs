//! A disk in memory that can be stopped at any write, that forgets what was not synced, and that can be full.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::spool::disk::{Disk, File, FileState, LOCK};

/// What a crash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The process was killed: what was written stays.
    Nothing,
    /// The machine was: everything that was not synced is as it was at the last sync.
    Unsynced,
    /// The same, but files have kept their length, and where their bytes were not synced are zeros.
    Zeroed,
}

/// Where to stop: before the change of this number, or, when that is a write, with so much of it done.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    pub change: u64,
    pub torn: Torn,
}

#[derive(Clone, Copy, Debug)]
pub enum Torn {
    Bytes(usize),
    /// All but so many.
    But(usize),
    Half,
}

#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    dirs: BTreeMap<String, Dir>,
    nodes: Vec<Node>,
    changes: u64,
    crash: Option<Crash>,
    crashed: bool,
    room: Option<usize>,
}

#[derive(Clone, Default)]
struct Dir {
    names: BTreeMap<String, usize>,
    synced: BTreeMap<String, usize>,
    is_synced: bool,
}

#[derive(Clone, Default)]
struct Node {
    data: Vec<u8>,
    synced: Vec<u8>,
    locked: bool,
}

impl Memory {
    pub fn crashing(crash: Crash) -> Self {
        let disk = Self::default();
        disk.state().crash = Some(crash);
        disk
    }

    /// What is there after a crash.
    pub fn reboot(&self, loss: Loss) -> Self {
        let state = self.state();
        let mut dirs = state.dirs.clone();
        let mut nodes = state.nodes.clone();
        nodes.iter_mut().for_each(|node| node.locked = false);
        if loss != Loss::Nothing {
            dirs.retain(|name, dir| name.is_empty() || dir.is_synced);
            dirs.values_mut().for_each(|dir| dir.names = dir.synced.clone());
            for node in &mut nodes {
                let len = node.data.len();
                node.data = node.synced.clone();
                if loss == Loss::Zeroed {
                    node.data.resize(len, 0);
                }
            }
        }
        for node in &mut nodes {
            node.synced = node.data.clone();
        }
        for dir in dirs.values_mut() {
            dir.synced = dir.names.clone();
        }
        Self(Arc::new(Mutex::new(State { dirs, nodes, ..State::default() })))
    }

    pub fn crash_at(&self, crash: Crash) {
        let mut state = self.state();
        state.changes = 0;
        state.crash = Some(crash);
    }

    pub fn crashed(&self) -> bool {
        self.state().crashed
    }

    /// Bytes that all files may take together; `None` for no bound.
    pub fn set_room(&self, room: Option<usize>) {
        self.state().room = room;
    }

    /// Changes the bytes of a file behind the spool's back.
    pub fn edit(&self, dir: &str, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let node = state.dirs[dir].names[name];
        edit(&mut state.nodes[node].data);
    }

    /// A file's bytes.
    pub fn bytes(&self, dir: &str, name: &str) -> Vec<u8> {
        let state = self.state();
        state.nodes[state.dirs[dir].names[name]].data.clone()
    }

    /// Directories but the root, and files in one.
    pub fn tree(&self) -> BTreeMap<String, Vec<String>> {
        let state = self.state();
        let dirs = state.dirs.iter().filter(|(name, _)| !name.is_empty());
        dirs.map(|(name, dir)| (name.clone(), dir.names.keys().cloned().collect())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.crashed { Err(io::Error::other("crashed")) } else { Ok(state) }
    }

    /// A change is about to happen; an error when the crash comes first.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.alive()?;
        if state.crash.is_some_and(|crash| crash.change == state.changes) {
            state.crashed = true;
            return Err(io::Error::other("crashed"));
        }
        state.changes += 1;
        Ok(state)
    }

    fn open_file(&self, dir: &str, name: &str) -> io::Result<Handle> {
        let state = self.alive()?;
        let names = &state.dirs.get(dir).ok_or(ErrorKind::NotFound)?.names;
        Ok(Handle { disk: self.clone(), node: *names.get(name).ok_or(ErrorKind::NotFound)?, dir: None, lock: false })
    }

    fn create_file(&self, dir: &str, name: &str) -> io::Result<Handle> {
        match self.open_file(dir, name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => return done,
        }
        let mut state = self.change()?;
        let node = state.nodes.len();
        state.dirs.get_mut(dir).ok_or(ErrorKind::NotFound)?.names.insert(name.to_owned(), node);
        state.nodes.push(Node::default());
        Ok(Handle { disk: self.clone(), node, dir: None, lock: false })
    }
}

impl Disk for Memory {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.alive()?;
        let names = state.dirs.get(dir).ok_or(ErrorKind::NotFound)?.names.keys();
        let dirs = state.dirs.keys().filter(|name| dir.is_empty() && !name.is_empty());
        Ok(names.chain(dirs).cloned().collect())
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.change()?;
        state.dirs.entry(String::new()).or_default();
        state.dirs.entry(dir.to_owned()).or_default();
        Ok(())
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.change()?;
        if !state.dirs.get(dir).ok_or(ErrorKind::NotFound)?.names.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        state.dirs.remove(dir);
        Ok(())
    }

    fn open(&self, dir: &str, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_file(dir, name)?))
    }

    fn begin(&self, dir: &str, name: &str) -> io::Result<Arc<dyn File>> {
        if self.open_file(dir, name).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.create(dir, name)
    }

    fn create(&self, dir: &str, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.create_file(dir, name)?))
    }

    fn remove(&self, dir: &str, name: &str) -> io::Result<()> {
        let mut state = self.change()?;
        if let Some(dir) = state.dirs.get_mut(dir) {
            dir.names.remove(name);
        }
        Ok(())
    }

    fn names(&self, dir: &str) -> io::Result<Arc<dyn File>> {
        let _ = self.alive()?.dirs.get(dir).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(Handle { disk: self.clone(), node: 0, dir: Some(dir.to_owned()), lock: false }))
    }

    fn lock(&self, dir: &str) -> io::Result<Option<Arc<dyn File>>> {
        let mut handle = self.create_file(dir, LOCK)?;
        let mut state = self.alive()?;
        let node = &mut state.nodes[handle.node];
        if std::mem::replace(&mut node.locked, true) {
            return Ok(None);
        }
        handle.lock = true;
        Ok(Some(Arc::new(handle)))
    }
}

struct Handle {
    disk: Memory,
    node: usize,
    dir: Option<String>,
    lock: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.lock {
            self.disk.state().nodes[self.node].locked = false;
        }
    }
}

impl File for Handle {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.alive()?;
        let rest = state.nodes[self.node].data.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = offset as usize;
        let crash = {
            let state = self.disk.alive()?;
            state.crash.filter(|crash| crash.change == state.changes)
        };
        let (mut len, mut done) = (bytes.len(), Ok(()));
        if let Some(crash) = crash {
            len = match crash.torn {
                Torn::Bytes(count) => count.min(len),
                Torn::But(count) => len.saturating_sub(count),
                Torn::Half => len / 2,
            };
            let mut state = self.disk.state();
            state.crashed = true;
            done = Err(io::Error::other("crashed"));
        }
        let mut state = self.disk.state();
        state.changes += 1;
        if let Some(room) = state.room {
            let taken: usize = state.nodes.iter().map(|node| node.data.len()).sum();
            let held = state.nodes[self.node].data.len();
            let more = (offset + len).saturating_sub(held);
            let over = (taken + more).saturating_sub(room);
            if over > 0 && more > 0 {
                len = len.saturating_sub(over);
                done = Err(ErrorKind::StorageFull.into());
            }
        }
        let data = &mut state.nodes[self.node].data;
        if data.len() < offset + len {
            data.resize(offset + len, 0);
        }
        data[offset..offset + len].copy_from_slice(&bytes[..len]);
        done
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        state.nodes[self.node].data.truncate(len as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.change()?;
        match &self.dir {
            None => {
                let node = &mut state.nodes[self.node];
                node.synced = node.data.clone();
            }
            Some(name) if name.is_empty() => state.dirs.values_mut().for_each(|dir| dir.is_synced = true),
            Some(name) => {
                if let Some(dir) = state.dirs.get_mut(name) {
                    dir.synced = dir.names.clone();
                }
            }
        }
        Ok(())
    }

    fn state(&self) -> io::Result<FileState> {
        let state = self.disk.alive()?;
        let linked = state.dirs.values().any(|dir| dir.names.values().any(|node| *node == self.node));
        Ok(FileState { len: state.nodes[self.node].data.len() as u64, linked })
    }
}
