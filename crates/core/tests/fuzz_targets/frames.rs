//! Framing: any chunking gives the same frames, frames are no more than what came, and a gap harms nothing.

use ai_tracing_core::frame::{AwsEvents, Frame, Framing, JsonStream, Sse};

use super::pieces;

pub fn sse(input: &[u8]) {
    framing::<Sse>(input);
}

pub fn json_stream(input: &[u8]) {
    framing::<JsonStream>(input);
}

/// The input is a list of parts: a byte that says what follows, a length, and as many bytes. No fuzzer guesses a
/// checksum, so messages are made of the parts.
pub fn aws_event(input: &[u8]) {
    let Some((choice, mut rest)) = input.split_first() else { return };
    let mut bytes = vec![*choice];
    while let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() {
        let (part, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        if kind & 1 == 0 {
            bytes.extend_from_slice(part);
            continue;
        }
        let start = bytes.len();
        let headers = part.len().min(usize::from(kind >> 1));
        bytes.extend_from_slice(&((16 + part.len()) as u32).to_be_bytes());
        bytes.extend_from_slice(&(headers as u32).to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes[start..]).to_be_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(&crc32fast::hash(&bytes[start..]).to_be_bytes());
    }
    framing::<AwsEvents>(&bytes);
}

type Frames = (Vec<(Vec<u8>, Vec<u8>, bool)>, Vec<String>);

fn framing<F: Framing + Default>(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let (whole, issues) = read::<F>(&[bytes]);
    assert_eq!(read::<F>(&pieces(choice, bytes)), (whole.clone(), issues), "in other pieces");
    let framed: usize = whole.iter().map(|(name, data, _)| name.len() + data.len()).sum();
    assert!(framed <= bytes.len() && whole.len() <= bytes.len(), "{framed} bytes in {} frames", whole.len());
    gap::<F>(choice, bytes);
}

fn read<F: Framing + Default>(pieces: &[&[u8]]) -> Frames {
    let mut frames = Vec::new();
    let mut keep = |frame: Frame<'_>| frames.push((frame.name.to_vec(), frame.data.to_vec(), frame.exception));
    let mut framing = F::default();
    for piece in pieces {
        framing.push(piece, &mut keep);
    }
    framing.finish(&mut keep);
    (frames, framing.issues())
}

fn gap<F: Framing + Default>(choice: u8, bytes: &[u8]) {
    let at = bytes.len() * usize::from(choice) / 256;
    let mut framed = 0;
    let mut count = |frame: Frame<'_>| framed += frame.data.len();
    let mut framing = F::default();
    framing.push(&bytes[..at], &mut count);
    framing.resync();
    framing.push(&bytes[at..], &mut count);
    framing.finish(&mut count);
    assert!(framed <= bytes.len());
}
