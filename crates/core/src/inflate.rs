//! Undoing a body's `Content-Encoding`, piece by piece and within bounds.
//!
//! Compressed pieces go in through [`Inflate::push`] as they passed on the wire; each call appends what can be decoded
//! so far, so that the time at which a piece passed can be given to what it carried. Bounds: no coding of a body yields
//! more than the limit, and beside the output only one block and one window (32 KiB for deflate, 8 MiB for zstd, 16 MiB
//! for brotli) per coding are held. Whatever goes wrong, what was decoded before stays, and the first problem is told in
//! plain words for the record's issues.
//!
//! RFC 9110 (the header and its list form), RFC 1950 to 1952, RFC 7932, RFC 8878 and RFC 9659 (zstd's window over HTTP).

mod brotli;
mod deflate;
#[cfg(test)]
mod tests;
mod zstd;

use brotli::Brotli;
use deflate::Deflate;
use zstd::Zstd;

/// Bytes decoded at a time by each coding.
const BLOCK: usize = 32 << 10;

/// Codings that one body may have. More than two are never seen, and each holds a window.
const MAX_CODINGS: usize = 4;

/// Decodes one body.
pub struct Inflate {
    /// In the order of decoding: the coding that was applied last comes first.
    stages: Vec<Stage>,
    limit: usize,
    /// The first problem; once it is set, nothing more is decoded.
    issue: Option<String>,
}

/// What [`Inflate::push`] says about the pieces to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Further input may yield further output.
    Open,
    /// Nothing more will come out, whatever goes in: [`Inflate::finish`] says why.
    Stopped,
}

impl Inflate {
    /// A decoder for the value of a `Content-Encoding` header, or `None` when the body is not encoded. Of the decoded
    /// body, `limit` bytes are yielded. With a coding that is not known, the decoder is stopped from the beginning.
    pub fn new(content_encoding: &str, limit: usize) -> Option<Self> {
        let names = content_encoding.split(',').map(str::trim);
        let codings: Vec<&str> =
            names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")).collect();
        if codings.is_empty() {
            return None;
        }
        Some(match codings.iter().rev().map(|name| Stage::new(name, limit)).take(MAX_CODINGS + 1).collect() {
            Ok(stages) => {
                let issue = (codings.len() > MAX_CODINGS)
                    .then(|| format!("body not decoded: more than {MAX_CODINGS} content encodings"));
                Self { stages, limit, issue }
            }
            Err(issue) => Self { stages: Vec::new(), limit, issue: Some(issue) },
        })
    }

    /// Decodes the next piece of the body and appends to `out` what can be known of it so far.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Status {
        if self.issue.is_none()
            && let Err(fault) = run(&mut self.stages, input, out)
        {
            self.issue = Some(match fault {
                Fault::Corrupt(coding) => format!("body cut: its {coding} data is corrupt"),
                Fault::TooLong => format!("body cut: it inflates to more than {} bytes", self.limit),
            });
        }
        if self.issue.is_some() { Status::Stopped } else { Status::Open }
    }

    /// The body has ended. What went wrong, if anything did: unknown encoding, corrupt data, over the limit, or data
    /// that ends too early. A body without a single byte is no error, whatever its encoding.
    pub fn finish(self) -> Option<String> {
        self.issue.or_else(|| {
            let open = self.stages.iter().find(|stage| stage.started && !stage.decoder.is_complete())?;
            Some(format!("body cut: its {} data ends too early", open.decoder.name()))
        })
    }
}

/// One coding of the body.
struct Stage {
    decoder: Decoder,
    block: Box<[u8]>,
    /// Bytes that this coding may still yield. Every coding has the body's limit for itself, so that no inner one can
    /// be a bomb that the outer ones hide.
    left: usize,
    started: bool,
}

enum Decoder {
    Deflate(Deflate),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

/// What one step of a decoder did.
struct Step {
    /// Bytes taken from the input.
    read: usize,
    /// Bytes put into the block; valid for a corrupt step as well.
    written: usize,
    corrupt: bool,
}

enum Fault {
    /// Names the coding.
    Corrupt(&'static str),
    TooLong,
}

impl Stage {
    /// Fails with an issue text.
    fn new(coding: &str, limit: usize) -> Result<Self, String> {
        let decoder = match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Decoder::Deflate(Deflate::gzip()),
            "deflate" => Decoder::Deflate(Deflate::zlib_or_raw()),
            "br" => Decoder::Brotli(Box::default()),
            "zstd" => Decoder::Zstd(Zstd::new().map_err(|_| "body not decoded: no memory for zstd".to_owned())?),
            // The header's value is the peer's: it is shortened and escaped.
            _ => {
                let name: String = coding.chars().take(32).flat_map(char::escape_default).collect();
                return Err(format!("body not decoded: unknown content encoding {name}"));
            }
        };
        Ok(Self { decoder, block: vec![0; BLOCK].into_boxed_slice(), left: limit, started: false })
    }
}

impl Decoder {
    fn name(&self) -> &'static str {
        match self {
            Self::Deflate(deflate) => deflate.name(),
            Self::Brotli(_) => "br",
            Self::Zstd(_) => "zstd",
        }
    }

    /// Decodes from `input` until it is used up or `block` is full. Input behind the end of the data is taken and
    /// ignored, as browsers do.
    fn step(&mut self, input: &[u8], block: &mut [u8]) -> Step {
        match self {
            Self::Deflate(deflate) => deflate.step(input, block),
            Self::Brotli(brotli) => brotli.step(input, block),
            Self::Zstd(zstd) => zstd.step(input, block),
        }
    }

    /// True when the data may end here.
    fn is_complete(&self) -> bool {
        match self {
            Self::Deflate(deflate) => deflate.is_complete(),
            Self::Brotli(brotli) => brotli.is_complete(),
            Self::Zstd(zstd) => zstd.is_complete(),
        }
    }
}

/// Passes `input` through the stages, block by block.
fn run(stages: &mut [Stage], mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let Some((stage, rest)) = stages.split_first_mut() else {
        out.extend_from_slice(input);
        return Ok(());
    };
    stage.started |= !input.is_empty();
    loop {
        let step = stage.decoder.step(input, &mut stage.block);
        let full = step.written == stage.block.len();
        let allowed = step.written.min(stage.left);
        stage.left -= allowed;
        if allowed > 0 {
            run(rest, stage.block.get(..allowed).unwrap_or_default(), out)?;
        }
        if allowed < step.written {
            return Err(Fault::TooLong);
        }
        input = input.get(step.read..).unwrap_or_default();
        // A decoder that takes nothing and gives nothing, with room for both, would do so forever.
        let stuck = step.read == 0 && step.written == 0 && !input.is_empty();
        if step.corrupt || stuck {
            return Err(Fault::Corrupt(stage.decoder.name()));
        }
        if input.is_empty() && !full {
            return Ok(());
        }
    }
}
