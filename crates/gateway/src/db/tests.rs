//! Nothing half-applied, nothing lost.

use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::json;
use tempfile::TempDir;

use super::*;

/// A database in a folder of its own, and a proxy that does what a test asks of it.
struct Disk {
    folder: TempDir,
    applied: Arc<Mutex<Vec<Entities>>>,
}

impl Disk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), applied: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data").join("config.db")
    }

    fn open(&self) -> Result<Db, StartError> {
        self.open_with(|_| Ok(()))
    }

    fn open_with(
        &self,
        proxy: impl Fn(&Entities) -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<Db, StartError> {
        let applied = self.applied.clone();
        let apply: Apply = Arc::new(move |entities| {
            proxy(entities)?;
            applied.lock().unwrap().push(entities.clone());
            Ok(())
        });
        Db::open(&self.path(), apply, Arc::new(|| 7))
    }

    fn last_applied(&self) -> Entities {
        self.applied.lock().unwrap().last().unwrap().clone()
    }
}

fn service(name: &str) -> Value {
    json!({ "name": name, "host": "a.test" })
}

#[test]
fn everything_survives_a_restart() {
    let disk = Disk::new();
    let db = disk.open().unwrap();
    db.insert(Kind::Services, service("ai")).unwrap();
    db.insert(Kind::Routes, json!({ "name": "r", "paths": ["/"], "service": { "name": "ai" } })).unwrap();
    db.insert(Kind::Plugins, json!({ "name": "ai-tracing", "route": { "name": "r" } })).unwrap();
    db.insert(Kind::Services, service("gone")).unwrap();
    db.delete(Kind::Services, "gone").unwrap();
    db.update(Kind::Services, "ai", json!({ "retries": 2 })).unwrap();
    let before = db.tables();
    drop(db);
    let db = disk.open().unwrap();
    assert_eq!(db.tables(), before);
    assert_eq!(disk.last_applied(), before.entities().unwrap(), "and the proxy has it");
    assert_eq!(db.get(Kind::Services, "ai").unwrap()["retries"], 2);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let disk = Disk::new();
    let db = disk.open().unwrap();
    db.insert(Kind::Services, service("ai")).unwrap();
    for entry in std::fs::read_dir(disk.path().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn a_file_has_one_process_at_a_time() {
    let disk = Disk::new();
    let db = disk.open().unwrap();
    let why = disk.open().unwrap_err().to_string();
    assert_eq!(why, format!("the configuration database {} is in use by another process", disk.path().display()));
    drop(db);
    disk.open().unwrap();
}

#[test]
fn files_that_cannot_be_used_are_left_alone() {
    let disk = Disk::new();
    drop(disk.open().unwrap());
    let connection = rusqlite::Connection::open(disk.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let why = disk.open().unwrap_err().to_string();
    assert!(why.contains("has layout version 99, and this program knows versions up to 1"), "{why}");
    std::fs::write(disk.path(), "not a database, just a text of some length".repeat(100)).unwrap();
    let why = disk.open().unwrap_err().to_string();
    assert!(why.starts_with("the configuration database") && why.contains("cannot be read"), "{why}");
    let disk = Disk::new();
    std::fs::write(disk.folder.path().join("data"), "a file where the folder should be").unwrap();
    let why = disk.open().unwrap_err().to_string();
    assert!(why.starts_with("cannot open the configuration database"), "{why}");
}

#[test]
fn what_is_stored_and_cannot_be_applied_stops_the_start() {
    let disk = Disk::new();
    disk.open().unwrap().insert(Kind::Services, service("ai")).unwrap();
    let why = disk.open_with(|_| Err("routes[0].paths[0]: no regex".to_owned())).unwrap_err().to_string();
    assert_eq!(why, "the stored configuration cannot be applied: schema violation (routes[0].paths[0]: no regex)");
}

#[test]
fn a_refusal_or_a_panic_of_the_proxy_changes_nothing() {
    let disk = Disk::new();
    let db = disk
        .open_with(|entities| {
            match entities.services.iter().filter_map(|service| service.name.as_deref()).next_back() {
                Some("refused") => Err("no".to_owned()),
                Some("fatal") => panic!("a bug"),
                _ => Ok(()),
            }
        })
        .unwrap();
    db.insert(Kind::Services, service("ai")).unwrap();
    let before = db.tables();
    assert!(matches!(db.insert(Kind::Services, service("refused")), Err(DbError::Refused(_))));
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| db.insert(Kind::Services, service("fatal"))));
    assert!(panicked.is_err());
    assert_eq!(db.tables(), before);
    db.insert(Kind::Services, service("next")).unwrap();
    assert_eq!(disk.last_applied(), db.tables().entities().unwrap());
    let after = db.tables();
    drop(db);
    assert_eq!(disk.open().unwrap().tables(), after, "and the file never saw it");
}

#[test]
fn a_failed_write_is_never_applied() {
    let disk = Disk::new();
    let db = disk.open().unwrap();
    db.insert(Kind::Services, service("ai")).unwrap();
    let (before, applied) = (db.tables(), disk.applied.lock().unwrap().len());
    sql(&db, "PRAGMA query_only = true");
    assert!(matches!(db.insert(Kind::Services, service("b")), Err(DbError::Storage(_))));
    assert_eq!((db.tables(), disk.applied.lock().unwrap().len()), (before, applied));
    sql(&db, "PRAGMA query_only = false");
    db.insert(Kind::Services, service("b")).unwrap();
}

#[test]
fn a_failed_commit_is_taken_back() {
    let disk = Disk::new();
    let db = disk.open().unwrap();
    db.insert(Kind::Services, service("ai")).unwrap();
    let before = db.tables();
    // A reference that is checked only at the commit, and leads nowhere.
    sql(
        &db,
        "CREATE TABLE late (id TEXT REFERENCES services (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER fail AFTER INSERT ON services BEGIN INSERT INTO late VALUES ('nowhere'); END",
    );
    assert!(matches!(db.insert(Kind::Services, service("b")), Err(DbError::Storage(_))));
    assert_eq!(db.tables(), before);
    assert_eq!(disk.last_applied(), before.entities().unwrap(), "the proxy went back");
    drop(db);
    assert_eq!(disk.open().unwrap().tables(), before);
}

#[test]
fn writers_take_turns() {
    let disk = Disk::new();
    let db = disk.open().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let db = &db;
            scope.spawn(move || {
                for turn in 0..10 {
                    db.insert(Kind::Services, service(&format!("s-{writer}-{turn}"))).unwrap();
                    let same = db.insert(Kind::Services, service(&format!("same-{turn}")));
                    assert!(same.is_ok() || matches!(same, Err(DbError::Refused(_))));
                }
            });
        }
    });
    assert_eq!(db.tables().all(Kind::Services).len(), 50);
    assert_eq!(disk.last_applied(), db.tables().entities().unwrap());
    let after = db.tables();
    drop(db);
    assert_eq!(disk.open().unwrap().tables(), after);
}

#[test]
fn a_declarative_configuration_is_replaced_whole_or_not_at_all() {
    let applied = Arc::new(Mutex::new(0));
    let count = applied.clone();
    let apply: Apply = Arc::new(move |entities| {
        if entities.services.len() > 1 {
            return Err("too many".to_owned());
        }
        *count.lock().unwrap() += 1;
        Ok(())
    });
    let db = Db::declarative(apply, Arc::new(|| 7));
    let document = |services: Value| json!({ "_format_version": "3.0", "services": services });
    db.load(document(json!([service("a")]))).unwrap();
    let before = db.tables();
    assert!(matches!(db.load(document(json!([{ "name": "b" }]))), Err(LoadError::Invalid(_))));
    assert!(matches!(db.load(document(json!([service("b"), service("c")]))), Err(LoadError::Apply(_))));
    assert_eq!((db.tables(), *applied.lock().unwrap()), (before, 1));
    db.load(document(json!([service("b")]))).unwrap();
    assert!(db.get(Kind::Services, "a").is_none() && db.get(Kind::Services, "b").is_some());
}

fn sql(db: &Db, sql: &str) {
    db.storage.lock().unwrap().as_ref().unwrap().execute(sql);
}
