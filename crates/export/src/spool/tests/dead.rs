use std::fs;

use serde_json::value::RawValue;

use super::*;
use crate::spool::dead::{DeadLetter, DeadLetters};

fn letter(label: &str, id: u64) -> DeadLetter {
    let record = RawValue::from_string(String::from_utf8(record(id)).unwrap()).unwrap();
    DeadLetter { at: at(id), lane: key(label), label: label.to_owned(), why: "HTTP 400".to_owned(), record }
}

fn all(letters: &DeadLetters) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    letters.visit(|letter| all.push((letter.label.clone(), id_of(letter.record.get().as_bytes())))).unwrap();
    all
}

fn files(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.path().join("dead")).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn letters_are_lines_that_say_what_was_refused_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let letters = DeadLetters::new(dir.path(), 1 << 20, true);
    assert_eq!(all(&letters), []);
    letters.append(&letter("a", 1)).unwrap();
    let pretty = RawValue::from_string("{\n \"id\": 5\n}".into()).unwrap();
    letters.append(&DeadLetter { record: pretty, ..letter("b", 5) }).unwrap();
    let [file] = files(&dir).try_into().unwrap();
    let text = fs::read_to_string(file).unwrap();
    let lane = "61000000000000000000000000000000";
    let expected = format!(
        "{{\"at\":\"2026-01-01T00:00:00.001000Z\",\"lane\":\"{lane}\",\"label\":\"a\",\"why\":\"HTTP 400\",\"record\":{}}}",
        String::from_utf8(record(1)).unwrap()
    );
    assert_eq!(text.lines().next().unwrap(), expected);
    assert!(text.lines().nth(1).unwrap().ends_with("\"record\":{ \"id\": 5}}"), "{text}");
}

#[test]
fn the_oldest_file_goes_when_there_are_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let letters = DeadLetters::new(dir.path(), 6 << 20, false);
    let large = RawValue::from_string(format!("\"{}\"", "z".repeat(1 << 20))).unwrap();
    let mut lost = 0;
    for id in 0..12 {
        lost += letters.append(&DeadLetter { record: large.clone(), ..letter("a", id) }).unwrap();
    }
    let mut left = Vec::new();
    letters.visit(|letter| left.push(letter.at)).unwrap();
    assert_eq!(left, (lost..12).map(at).collect::<Vec<_>>());
    assert!(lost >= 4, "{lost}");
    let size: u64 = files(&dir).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(size <= 6 << 20);
}

#[test]
fn taken_letters_are_gone_only_when_they_are_kept_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let letters = DeadLetters::new(dir.path(), 1 << 20, false);
    for id in 0..6 {
        letters.append(&letter(if id % 2 == 0 { "a" } else { "b" }, id)).unwrap();
    }
    let fails = letters.take(|letter| letter.label == "a", |_| Err(io::Error::other("no room")));
    assert_eq!(fails.unwrap_err().to_string(), "no room");
    assert_eq!(all(&letters).len(), 6);
    let mut kept = Vec::new();
    let taken = letters.take(
        |letter| letter.label == "a",
        |letters| {
            kept.extend(letters.into_iter().map(|letter| letter.at));
            Ok(())
        },
    );
    assert_eq!((taken.unwrap(), kept), (3, vec![at(0), at(2), at(4)]));
    assert_eq!(all(&letters), [("b".to_owned(), 1), ("b".to_owned(), 3), ("b".to_owned(), 5)]);
    letters.append(&letter("c", 7)).unwrap();
    assert_eq!(letters.take(|_| true, |_| Ok(())).unwrap(), 4);
    assert_eq!(files(&dir), Vec::<PathBuf>::new());
}

#[test]
fn a_writer_never_waits_for_who_holds_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let letters = DeadLetters::new(dir.path(), 1 << 20, false);
    letters.append(&letter("a", 1)).unwrap();
    let held = fs::File::open(&files(&dir)[0]).unwrap();
    held.lock().unwrap();
    letters.append(&letter("a", 2)).unwrap();
    assert_eq!(files(&dir).len(), 2);
    drop(held);
    assert_eq!(all(&letters), [("a".to_owned(), 1), ("a".to_owned(), 2)]);
}

#[test]
fn half_a_line_and_lines_of_others_cost_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let letters = DeadLetters::new(dir.path(), 1 << 20, false);
    letters.append(&letter("a", 1)).unwrap();
    let file = files(&dir).remove(0);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}not a letter\n{}", &text[..20])).unwrap();
    letters.append(&letter("a", 2)).unwrap();
    let mut seen = 0;
    assert_eq!(letters.visit(|_| seen += 1).unwrap(), 2);
    assert_eq!(seen, 2);
    // Lines that cannot be read stay.
    assert_eq!(letters.take(|_| true, |_| Ok(())).unwrap(), 2);
    assert_eq!(letters.visit(|_| ()).unwrap(), 2);
}
