//! Undoing the content encoding of a captured body, chunk by chunk, so that each piece keeps its time.

use crate::capture::{Body, Chunk};
use crate::inflate::{Inflate, Status};
use crate::time::At;

/// A decoded chunk's end, and when it passed.
type Mark = (usize, At);

/// A body as it was before its content encoding.
pub struct Decoded<'a> {
    body: &'a Body,
    /// Decoded bytes and where each chunk ends in them; `None`: the body was not encoded.
    inflated: Option<(Vec<u8>, Vec<Mark>)>,
    /// Bytes missing after [`Self::head`].
    pub gap: u64,
    /// False where the end of an encoded body could not be decoded, or was more than the limit.
    complete: bool,
}

impl<'a> Decoded<'a> {
    /// Decodes `body`; what could not be decoded is named in `issues`. `whose` begins those lines.
    pub fn new(body: &'a Body, encoding: Option<&str>, limit: usize, whose: &str, issues: &mut Vec<String>) -> Self {
        let gap = body.gap();
        let Some(mut inflate) = encoding.and_then(|encoding| Inflate::new(encoding, limit)) else {
            if gap > 0 {
                let (total, why) = (body.total(), why(body));
                issues.push(format!("{whose} body of {total} bytes {why}: {gap} bytes not read"));
            }
            return Self { body, inflated: None, gap, complete: true };
        };
        let mut bytes = Vec::new();
        let mut marks = Vec::new();
        // Behind a gap nothing can be decoded.
        let tail = body.tail().filter(|_| gap == 0);
        for chunk in body.head().chain(tail) {
            let status = inflate.push(chunk.bytes, &mut bytes);
            marks.push((bytes.len(), chunk.at));
            if status == Status::Stopped {
                break;
            }
        }
        let issue = inflate.finish();
        let complete = issue.is_none();
        if gap > 0 {
            issues.push(format!("{whose} body cut: it {}, and is compressed", why(body)));
        } else if let Some(issue) = issue {
            issues.push(format!("{whose} {issue}"));
        }
        Self { body, inflated: Some((bytes, marks)), gap, complete }
    }

    /// True when nothing of the body is missing.
    pub fn whole(&self) -> bool {
        self.gap == 0 && self.complete
    }

    /// True when a content encoding was undone.
    pub fn was_encoded(&self) -> bool {
        self.inflated.is_some()
    }

    /// The chunks up to the gap, or all of them.
    pub fn head(&self) -> Vec<Chunk<'_>> {
        match &self.inflated {
            None => self.body.head().collect(),
            Some((bytes, marks)) => {
                let mut start = 0;
                let chunk = |&(end, at): &Mark| {
                    let chunk = Chunk { bytes: bytes.get(start..end).unwrap_or_default(), at };
                    start = end;
                    chunk
                };
                marks.iter().map(chunk).collect()
            }
        }
    }

    /// The chunks behind the gap; with no gap they continue the head.
    pub fn tail(&self) -> Vec<Chunk<'_>> {
        match self.inflated {
            None => self.body.tail().collect(),
            Some(_) => Vec::new(),
        }
    }

    /// The head in one piece.
    pub fn head_bytes(&self) -> &[u8] {
        match &self.inflated {
            None => self.body.head_bytes(),
            Some((bytes, _)) => bytes,
        }
    }

    /// The tail in one piece.
    pub fn tail_bytes(&self) -> &[u8] {
        match &self.inflated {
            None => self.body.tail_bytes(),
            Some(_) => &[],
        }
    }
}

/// Why a part of a body was not kept.
pub(super) fn why(body: &Body) -> &'static str {
    if body.starved() { "came when the memory for captured bodies was used up" } else { "is longer than max_body_size" }
}
