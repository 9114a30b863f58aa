//! Writes the tokenizers' vocabularies as tables that `src/estimate/vocabulary.rs` reads where they lie, which spares
//! every process tens of MiB of memory and the time to build them.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::{env, fs, io};

use bpe_openai::Tokenizer;

#[path = "src/estimate/hash.rs"]
mod hash;

fn main() -> Result<(), Box<dyn Error>> {
    for input in ["build.rs", "src/estimate/hash.rs"] {
        writeln!(io::stdout(), "cargo::rerun-if-changed={input}")?;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for (name, tokenizer) in [("o200k", bpe_openai::o200k_base()), ("cl100k", bpe_openai::cl100k_base())] {
        let tables = Tables::new(tokenizer)?;
        fs::write(out.join(format!("{name}.bytes")), tables.bytes)?;
        fs::write(out.join(format!("{name}.starts")), little_endian(&tables.starts))?;
        fs::write(out.join(format!("{name}.slots")), little_endian(&tables.slots))?;
    }
    Ok(())
}

/// One vocabulary.
struct Tables {
    /// All tokens, by rank.
    bytes: Vec<u8>,
    /// Where each token begins in `bytes`, and where the last one ends.
    starts: Vec<u32>,
    /// Hash table with open addressing: rank + 1, or 0 for an empty slot.
    slots: Vec<u32>,
}

impl Tables {
    fn new(tokenizer: &Tokenizer) -> Result<Self, Box<dyn Error>> {
        let count = u32::try_from(tokenizer.bpe.num_tokens())?;
        // At most half full, so that a search ends soon.
        let mut slots = vec![0; (2 * count as usize).next_power_of_two()];
        let (mut bytes, mut starts) = (Vec::new(), vec![0]);
        for rank in 0..count {
            let token = tokenizer.bpe.token_bytes(rank);
            if token.len() > hash::MAX_TOKEN {
                return Err("MAX_TOKEN is too small".into());
            }
            bytes.extend_from_slice(token);
            starts.push(u32::try_from(bytes.len())?);
            let free = hash::probe(token, slots.len()).find(|&at| slots.get(at) == Some(&0));
            *free.and_then(|at| slots.get_mut(at)).ok_or("no free slot")? = rank + 1;
        }
        Ok(Self { bytes, starts, slots })
    }
}

fn little_endian(table: &[u32]) -> Vec<u8> {
    table.iter().flat_map(|entry| entry.to_le_bytes()).collect()
}
