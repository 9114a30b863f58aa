//! Streams inside AWS event streams: SageMaker cuts what the model's server streams into `PayloadPart` messages, wherever
//! it likes.
//!
//! Source: <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_PayloadPart.html>.

use super::{AwsEvents, Frame, Framing, JsonStream, Sse};

/// A push parser of AWS event streams that sees through `PayloadPart` messages; others are frames as they are.
#[derive(Default)]
pub struct Payloads {
    outer: AwsEvents,
    /// What the parts hold: known by the first byte that is no white space.
    inner: Option<Box<dyn Framing>>,
}

impl Framing for Payloads {
    fn push(&mut self, bytes: &[u8], on_frame: &mut dyn FnMut(Frame<'_>)) {
        let inner = &mut self.inner;
        self.outer.push(bytes, &mut |frame| {
            if frame.exception || frame.name != b"PayloadPart" {
                on_frame(frame);
                return;
            }
            let start = frame.data.trim_ascii_start();
            if inner.is_none() {
                *inner = match start.first() {
                    None => None,
                    Some(b'{' | b'[') => Some(Box::new(JsonStream::default())),
                    Some(_) => Some(Box::new(Sse::default())),
                };
            }
            if let Some(inner) = inner {
                inner.push(frame.data, on_frame);
            }
        });
    }

    fn finish(&mut self, on_frame: &mut dyn FnMut(Frame<'_>)) {
        self.outer.finish(on_frame);
        if let Some(inner) = &mut self.inner {
            inner.finish(on_frame);
        }
    }

    fn resync(&mut self) {
        self.outer.resync();
        if let Some(inner) = &mut self.inner {
            inner.resync();
        }
    }

    fn issues(&self) -> Vec<String> {
        let mut issues = self.outer.issues();
        issues.extend(self.inner.iter().flat_map(|inner| inner.issues()));
        issues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of that event type, as the specification says.
    fn part(payload: &[u8]) -> Vec<u8> {
        let headers = [b"\x0b:event-type\x07\x00\x0b".as_slice(), b"PayloadPart"].concat();
        let mut bytes = ((16 + headers.len() + payload.len()) as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&(headers.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend_from_slice(&headers);
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    fn frames(parts: &[&[u8]]) -> Vec<String> {
        let mut frames = Vec::new();
        let mut on_frame = |frame: Frame<'_>| frames.push(String::from_utf8_lossy(frame.data).into_owned());
        let mut stream = Payloads::default();
        for bytes in parts {
            stream.push(&part(bytes), &mut on_frame);
        }
        stream.finish(&mut on_frame);
        frames
    }

    #[test]
    fn what_the_parts_hold_is_cut_anywhere() {
        let wanted = [r#"{"a":1}"#, r#"{"b":2}"#];
        assert_eq!(frames(&[b"data: {\"a\"", b":1}\n\nda", b"ta: {\"b\":2}\n\n"]), wanted);
        assert_eq!(frames(&[b"{\"a\":1", b"}\n{\"b\":2}\n"]), wanted);
    }
}
