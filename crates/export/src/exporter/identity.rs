//! What makes a destination the one it is.

use sha2::{Digest, Sha256};

use crate::spool::LaneKey;

/// Tells destinations apart, on disk as well: configurations that agree in all `parts` send to the same place, on the
/// same account, in the same form. A digest, because parts may be secret.
pub(crate) fn identity(parts: &[&str]) -> LaneKey {
    let mut digest = Sha256::new();
    for part in parts {
        // With their lengths: `ab`, `c` is not `a`, `bc`.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut identity = [0; 16];
    identity.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
    LaneKey(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_where_it_stands() {
        let all = [&["ab", "c"][..], &["a", "bc"], &["abc"], &["c", "ab"], &["ab", "c", ""], &[]];
        let distinct: std::collections::HashSet<_> = all.iter().map(|parts| identity(parts)).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
