//! AWS event streams (`application/vnd.amazon.eventstream`), as Bedrock and SageMaker answer.
//!
//! A message is: total length and length of the headers (32 bits, big endian), CRC-32 of those eight bytes, headers,
//! payload, CRC-32 of everything before. Source: <https://smithy.io/2.0/aws/amazon-eventstream.html>.
//!
//! A message whose CRC is wrong is passed over. Where the lengths themselves are wrong, nobody knows how long it is: the
//! next place where eight bytes and their CRC fit begins the next message.

use super::{Frame, Framing, MAX_FRAME};

/// Lengths and their CRC.
const PRELUDE: usize = 12;
/// The prelude and the message's CRC.
const OVERHEAD: usize = PRELUDE + 4;

/// A push parser of AWS event streams.
#[derive(Debug, Default)]
pub struct AwsEvents {
    /// The unfinished message.
    message: Vec<u8>,
    /// Bytes of an overlong message that are still to come.
    to_skip: u64,
    /// Behind a gap: what stands before the next message belongs to it.
    behind_gap: bool,
    too_long: u64,
    unreadable: u64,
    corrupt: u64,
    cut: bool,
}

impl Framing for AwsEvents {
    fn push(&mut self, mut bytes: &[u8], on_frame: &mut dyn FnMut(Frame<'_>)) {
        while !bytes.is_empty() {
            if self.to_skip > 0 {
                let skipped = usize::try_from(self.to_skip).unwrap_or(usize::MAX).min(bytes.len());
                self.to_skip -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let wanted = self.wanted();
            let (piece, rest) = bytes.split_at((wanted - self.message.len()).min(bytes.len()));
            self.message.extend_from_slice(piece);
            bytes = rest;
            if self.message.len() == wanted {
                self.complete(on_frame);
            }
        }
    }

    fn finish(&mut self, _: &mut dyn FnMut(Frame<'_>)) {
        self.cut = !self.message.is_empty() || self.to_skip > 0;
        self.message.clear();
    }

    fn resync(&mut self) {
        self.message.clear();
        self.to_skip = 0;
        self.behind_gap = true;
    }

    fn issues(&self) -> Vec<String> {
        let mut issues = super::too_long(self.too_long);
        if self.corrupt > 0 {
            issues.push(format!("{} event-stream messages with a wrong CRC not read", self.corrupt));
        }
        if self.unreadable > 0 {
            issues.push(format!("{} bytes that are no event-stream message not read", self.unreadable));
        }
        if self.cut {
            issues.push("the event stream ends inside a message".to_owned());
        }
        issues
    }
}

impl AwsEvents {
    /// Length at which [`Self::message`] can be looked at.
    fn wanted(&self) -> usize {
        match lengths(&self.message) {
            Some((total, _)) => total,
            None => PRELUDE,
        }
    }

    /// The prelude is there, or the whole message.
    fn complete(&mut self, on_frame: &mut dyn FnMut(Frame<'_>)) {
        let Some((total, headers)) = lengths(&self.message) else {
            self.unreadable += u64::from(!self.behind_gap);
            self.message.remove(0);
            return;
        };
        self.behind_gap = false;
        if total > MAX_FRAME {
            self.too_long += total as u64;
            self.to_skip = (total - self.message.len()) as u64;
            self.message.clear();
        } else if self.message.len() == total {
            let (content, crc) = self.message.split_at(total - 4);
            if crc32fast::hash(content).to_be_bytes() == crc {
                let (headers, data) = content.get(PRELUDE..).unwrap_or_default().split_at(headers);
                let kind = kind(headers);
                let data = if data.is_empty() { kind.message } else { data };
                on_frame(Frame { name: kind.name, data, exception: kind.exception });
            } else {
                self.corrupt += 1;
            }
            self.message.clear();
        }
    }
}

/// Length of the message and of its headers, where the bytes begin with a prelude whose CRC is right.
fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let (prelude, rest) = bytes.split_at_checked(8)?;
    let crc = rest.get(..4)?;
    let number = |at: usize| prelude.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let (total, headers) = (number(0)? as usize, number(4)? as usize);
    let fits = headers.checked_add(OVERHEAD)? <= total && crc32fast::hash(prelude).to_be_bytes() == crc;
    fits.then_some((total, headers))
}

/// What the headers say of a message.
struct Kind<'a> {
    /// The type of the event or exception.
    name: &'a [u8],
    /// True for exceptions, and for errors that the service did not foresee.
    exception: bool,
    /// Of those errors, which have no payload.
    message: &'a [u8],
}

fn kind(mut headers: &[u8]) -> Kind<'_> {
    let (mut event, mut exception, mut message) = (None, None, None);
    while let Some((name, value, rest)) = header(headers) {
        match name {
            b":event-type" => event = Some(value),
            b":exception-type" | b":error-code" => exception = Some(value),
            b":error-message" => message = Some(value),
            _ => {}
        }
        headers = rest;
    }
    let name = exception.or(event).unwrap_or_default();
    Kind { name, exception: exception.is_some(), message: message.unwrap_or_default() }
}

/// The first header: its name, its value where that is a string, and what follows.
fn header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    let (&kind, rest) = rest.split_first()?;
    let fixed = match kind {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        6 | 7 => {
            let (length, rest) = rest.split_at_checked(2)?;
            let length = u16::from_be_bytes(length.try_into().ok()?);
            let (value, rest) = rest.split_at_checked(usize::from(length))?;
            return Some((name, value, rest));
        }
        _ => return None,
    };
    Some((name, &[], rest.get(fixed..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as the specification says.
    fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in headers {
            block.push(name.len() as u8);
            block.extend_from_slice(name.as_bytes());
            block.push(7);
            block.extend_from_slice(&(value.len() as u16).to_be_bytes());
            block.extend_from_slice(value.as_bytes());
        }
        let mut bytes = ((block.len() + payload.len() + OVERHEAD) as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&(block.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend_from_slice(&block);
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    fn event(name: &str, payload: &str) -> Vec<u8> {
        message(&[(":message-type", "event"), (":event-type", name)], payload.as_bytes())
    }

    type Read = (Vec<(String, String, bool)>, Vec<String>);

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
        let mut frames = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut on_frame = |frame: Frame<'_>| frames.push((text(frame.name), text(frame.data), frame.exception));
        let mut events = AwsEvents::default();
        for piece in pieces {
            events.push(piece, &mut on_frame);
        }
        events.finish(&mut on_frame);
        (frames, events.issues())
    }

    fn told(name: &str, data: &str, exception: bool) -> (String, String, bool) {
        (name.to_owned(), data.to_owned(), exception)
    }

    #[test]
    fn events_and_exceptions() {
        let exception = message(&[(":message-type", "exception"), (":exception-type", "throttlingException")], b"{}");
        let error = [(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "Sorry.")];
        let bytes = [event("messageStop", r#"{"a":1}"#), exception, message(&error, b"")].concat();
        let (frames, issues) = read([bytes.as_slice()]);
        let wanted = [
            told("messageStop", r#"{"a":1}"#, false),
            told("throttlingException", "{}", true),
            told("InternalError", "Sorry.", true),
        ];
        assert_eq!(frames, wanted);
        assert_eq!(issues, [] as [&str; 0]);
    }

    #[test]
    fn a_wrong_crc_costs_its_message_and_no_more() {
        let mut first = event("a", "1");
        let end = first.len() - 5;
        first[end] ^= 1;
        let (frames, issues) = read([[first, event("b", "2")].concat().as_slice()]);
        assert_eq!(frames, [told("b", "2", false)]);
        assert_eq!(issues, ["1 event-stream messages with a wrong CRC not read"]);
    }

    #[test]
    fn wrong_lengths_are_passed_over() {
        let mut first = event("a", "1");
        first[0] = 0xff;
        let length = first.len();
        let (frames, issues) = read([[first, event("b", "2")].concat().as_slice()]);
        assert_eq!(frames, [told("b", "2", false)]);
        assert_eq!(issues, [format!("{length} bytes that are no event-stream message not read")]);
    }

    #[test]
    fn a_message_that_claims_gigabytes_takes_no_memory() {
        let mut bytes = 0xffff_ffff_u32.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend_from_slice(&[0; 1000]);
        let (frames, issues) = read([bytes.as_slice()]);
        assert_eq!(frames, []);
        assert!(issues[0].starts_with("4294967295 bytes of events longer than"), "{issues:?}");
        assert_eq!(issues[1], "the event stream ends inside a message");
    }

    #[test]
    fn after_a_gap_the_next_message_is_found() {
        let mut names = Vec::new();
        let mut on_frame = |frame: Frame<'_>| names.push(String::from_utf8_lossy(frame.name).into_owned());
        let (first, second) = (event("a", "1"), event("b", "22222222"));
        let mut events = AwsEvents::default();
        events.push(&[first.as_slice(), &second[..9]].concat(), &mut on_frame);
        events.resync();
        events.push(&second[20..], &mut on_frame);
        events.push(&event("c", "3"), &mut on_frame);
        events.finish(&mut on_frame);
        assert_eq!(names, ["a", "c"]);
        assert_eq!(events.issues(), [] as [&str; 0]);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(
            parts in prop::collection::vec(prop_oneof![
                "[a-z]{0,5}".prop_map(|text| event("e", &text)),
                prop::collection::vec(any::<u8>(), 0..20),
            ], 0..6),
            flip in any::<prop::sample::Index>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut bytes = parts.concat();
            if !bytes.is_empty() {
                let at = flip.index(bytes.len());
                bytes[at] ^= 0x10;
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            prop_assert_eq!(read(cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]])), read([bytes.as_slice()]));
        }
    }
}
