//! On the real file system.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn on_disk(dir: &tempfile::TempDir, fsync: Fsync) -> Options {
    Options { dir: dir.path().join("data/spool"), fsync, ..options() }
}

fn directories(options: &Options) -> Vec<PathBuf> {
    let mut dirs: Vec<_> = fs::read_dir(&options.dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    dirs.sort();
    dirs
}

#[test]
fn records_survive_the_process_under_every_policy() {
    for fsync in [Fsync::Never, Fsync::Interval(Duration::from_millis(1)), Fsync::Always] {
        let dir = tempfile::tempdir().unwrap();
        let options = on_disk(&dir, fsync);
        let mut spool = Spool::open(options.clone(), at(0)).unwrap();
        let a = lane(&mut spool, "a");
        append(&mut spool, &[a], 0..50, at(0));
        resolve(&mut spool, a, &[0, 1, 2]);
        spool.sync();
        // As if killed: nothing is written at the end.
        drop(spool);
        let mut spool = Spool::open(options.clone(), at(0)).unwrap();
        let a = lane(&mut spool, "a");
        assert_eq!(ids(&mut spool, a), (3..50).collect::<Vec<_>>());
        assert_eq!(directories(&options).len(), 1);
        assert_eq!(spool.stats().write_errors, 0);
    }
}

#[test]
fn two_owners_have_a_directory_each_and_adopt_what_the_other_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let options = on_disk(&dir, Fsync::Interval(Duration::from_millis(1)));
    let mut first = Spool::open(options.clone(), at(0)).unwrap();
    let mut second = Spool::open(options.clone(), at(0)).unwrap();
    assert_eq!(directories(&options).len(), 2);
    let (a, b) = (lane(&mut first, "a"), lane(&mut second, "b"));
    append(&mut first, &[a], 0..30, at(0));
    append(&mut second, &[b], 100..105, at(0));
    assert_eq!(second.keep_house(at(0)), []);
    drop(first);
    // Steps go on when the copies are synced, which a thread does.
    let mut now = 10_000;
    let mut adopted = 0;
    while directories(&options).len() > 1 {
        for event in second.keep_house(at(now)) {
            let Event::Adopted { records, .. } = event else { panic!("{event:?}") };
            adopted += records;
        }
        now += 250;
        std::thread::yield_now();
    }
    assert_eq!(adopted, 30);
    let a = lane(&mut second, "a");
    assert_eq!(ids(&mut second, a), (0..30).collect::<Vec<_>>());
    assert_eq!(ids(&mut second, b), (100..105).collect::<Vec<_>>());
    assert_eq!(second.stats().adopted, 30);
}

#[test]
fn everything_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let options = on_disk(&dir, Fsync::Never);
    let mut spool = Spool::open(options.clone(), at(0)).unwrap();
    let a = lane(&mut spool, "a");
    append(&mut spool, &[a], 0..3, at(0));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let home = directories(&options).remove(0);
    assert_eq!((mode(&options.dir), mode(&home)), (0o700, 0o700));
    let files: Vec<_> = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

#[test]
fn files_removed_under_a_running_process_cost_what_was_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let options = on_disk(&dir, Fsync::Never);
    let mut spool = Spool::open(options.clone(), at(0)).unwrap();
    let a = lane(&mut spool, "a");
    append(&mut spool, &[a], 0..3, at(0));
    let home = directories(&options).remove(0);
    let last = home.join(Segment::file_name(1));
    fs::remove_file(&last).unwrap();
    append(&mut spool, &[a], 3..6, at(0));
    assert_eq!(ids(&mut spool, a), [3, 4, 5]);
    assert_eq!(lost(&spool.keep_house(at(0)), Why::Damaged), 3);
    // Another process finds all that is left.
    fs::remove_dir_all(&options.dir).unwrap();
    append(&mut spool, &[a], 6..9, at(0));
    spool.keep_house(at(0));
    assert_eq!(ids(&mut spool, a), [6, 7, 8]);
    assert_ne!(directories(&options), [home]);
    drop(spool);
    let mut spool = Spool::open(options, at(0)).unwrap();
    let a = lane(&mut spool, "a");
    assert_eq!(ids(&mut spool, a), [6, 7, 8]);
}

#[test]
fn a_place_where_no_directory_can_be_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("data"), "").unwrap();
    let options = on_disk(&dir, Fsync::Never);
    let place = options.dir.display().to_string();
    let error = Spool::open(options, at(0)).err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot make the spool's directory in {place}: ")), "{error}");
}
