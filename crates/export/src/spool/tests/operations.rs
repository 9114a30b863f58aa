use serde_json::value::RawValue;

use super::*;
use crate::spool::dead::{DeadLetter, DeadLetters};
use crate::spool::operate::{self, Dead, Waiting};

fn on_disk(dir: &tempfile::TempDir) -> Options {
    Options { dir: dir.path().join("spool"), ..options() }
}

fn refuse(options: &Options, label: &str, why: &str, id: u64) {
    let record = RawValue::from_string(String::from_utf8(record(id)).unwrap()).unwrap();
    let letter = DeadLetter { at: at(id), lane: key(label), label: label.to_owned(), why: why.to_owned(), record };
    DeadLetters::new(&options.dir, 1 << 20, false).append(&letter).unwrap();
}

#[test]
fn what_waits_is_seen_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let options = on_disk(&dir);
    assert_eq!(operate::waiting(&options.dir).unwrap(), []);
    assert_eq!(operate::dead(&options.dir).unwrap(), (vec![], 0));

    let mut living = Spool::open(options.clone(), at(0)).unwrap();
    let mut ended = Spool::open(options.clone(), at(0)).unwrap();
    let a = lane(&mut living, "a");
    append(&mut living, &[a], 0..20, at(5));
    resolve(&mut living, a, &[0, 1]);
    let (a, b) = (lane(&mut ended, "a"), lane(&mut ended, "b"));
    append(&mut ended, &[a, b], 20..22, at(7));
    resolve(&mut ended, b, &[20, 21]);
    let (first, second) = (living.home.name.clone(), ended.home.name.clone());
    drop(ended);

    let size = |ids: std::ops::Range<u64>| ids.map(|id| record(id).len() as u64).sum();
    let line = |destination: &str, directory: &str, lives, records, bytes, oldest| Waiting {
        destination: destination.to_owned(),
        directory: directory.to_owned(),
        lives,
        records,
        bytes,
        oldest,
    };
    let expected = [
        line("a", &first, true, 18, size(2..20), Some(at(5))),
        line("a", &second, false, 2, size(20..22), Some(at(7))),
        line("b", &second, false, 0, 0, None),
    ];
    assert_eq!(operate::waiting(&options.dir).unwrap(), expected);
    let json = serde_json::to_string(&expected[2]).unwrap();
    assert!(json.ends_with("\"lives\":false,\"records\":0,\"bytes\":0,\"oldest\":null}"), "{json}");

    // What a process holds is not touched, the rest is, one destination or all.
    assert_eq!(operate::purge_waiting(&options.dir, Some("b")).unwrap(), 0);
    assert_eq!(operate::waiting(&options.dir).unwrap().len(), 3);
    assert_eq!(operate::purge_waiting(&options.dir, None).unwrap(), 2);
    assert_eq!(operate::waiting(&options.dir).unwrap(), expected[..1]);
    let a = lane(&mut living, "a");
    assert_eq!(ids(&mut living, a), (2..20).collect::<Vec<_>>());
}

#[test]
fn one_destination_is_purged_without_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let options = on_disk(&dir);
    let mut spool = Spool::open(options.clone(), at(0)).unwrap();
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    append(&mut spool, &[a, b], 0..20, at(0));
    append(&mut spool, &[b], 20..30, at(0));
    drop(spool);
    assert_eq!(operate::purge_waiting(&options.dir, Some("a")).unwrap(), 20);
    let mut spool = Spool::open(options, at(0)).unwrap();
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    assert_eq!((ids(&mut spool, a).len(), ids(&mut spool, b).len()), (0, 30));
    append(&mut spool, &[a], 30..32, at(0));
    assert_eq!(ids(&mut spool, a), [30, 31]);
}

#[test]
fn dead_letters_are_summed_up_retried_and_purged() {
    let dir = tempfile::tempdir().unwrap();
    let options = on_disk(&dir);
    let mut running = Spool::open(options.clone(), at(0)).unwrap();
    for id in 0..6 {
        refuse(&options, if id < 4 { "a" } else { "b" }, if id == 3 { "HTTP 413" } else { "HTTP 400" }, id);
    }
    let sum = |destination: &str, reason: &str, ids: &[u64]| Dead {
        destination: destination.to_owned(),
        reason: reason.to_owned(),
        records: ids.len() as u64,
        bytes: ids.iter().map(|id| record(*id).len() as u64).sum(),
        oldest: at(ids[0]),
    };
    let expected = vec![sum("a", "HTTP 400", &[0, 1, 2]), sum("a", "HTTP 413", &[3]), sum("b", "HTTP 400", &[4, 5])];
    assert_eq!(operate::dead(&options.dir).unwrap(), (expected, 0));

    // What is retried is adopted by the process that runs.
    assert_eq!(operate::retry(&options.dir, Some("nobody"), at(9)).unwrap(), 0);
    assert_eq!(operate::retry(&options.dir, Some("a"), at(9)).unwrap(), 4);
    assert_eq!(operate::waiting(&options.dir).unwrap().len(), 1);
    (0..20).for_each(|step| drop(running.keep_house(at(20_000 + step))));
    let a = lane(&mut running, "a");
    assert_eq!(ids(&mut running, a), [0, 1, 2, 3]);
    assert_eq!(running.pending(a).oldest, Some(at(9)));
    assert_eq!(operate::retry(&options.dir, Some("a"), at(9)).unwrap(), 0);

    assert_eq!(operate::purge_dead(&options.dir, None).unwrap(), 2);
    assert_eq!(operate::dead(&options.dir).unwrap(), (vec![], 0));
    assert_eq!(ids(&mut running, a), [0, 1, 2, 3]);
}
