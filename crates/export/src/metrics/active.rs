//! How many different users were there lately? Counted in fixed memory, whatever comes.
//!
//! Each minute has a HyperLogLog sketch (Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality
//! estimation algorithm"); a window is the union of its minutes. With 2^11 registers the standard error is 2.3 %, and
//! small numbers, by linear counting, are as good as exact. Nothing of an id is kept, and ids are hashed with a key of
//! the process, so nobody can choose ids that spoil the count.

use std::hash::{BuildHasher, RandomState};

use ai_tracing_core::time::At;

const PRECISION: u32 = 11;
const REGISTERS: usize = 1 << PRECISION;
/// Minutes that are kept; no window can be longer.
pub const MINUTES: usize = 60;
const MINUTE: u64 = 60_000_000_000;

/// Counts the different ids of the last hour: 120 KiB at most.
#[derive(Debug, Default)]
pub struct Active {
    keyed: RandomState,
    /// One for each minute, at its number modulo [`MINUTES`].
    slices: Vec<Option<Slice>>,
}

#[derive(Debug)]
struct Slice {
    minute: u64,
    registers: Box<[u8]>,
}

impl Active {
    /// Somebody was there.
    pub fn see(&mut self, id: &str, at: At) {
        if self.slices.is_empty() {
            self.slices.resize_with(MINUTES, || None);
        }
        let minute = at.0 / MINUTE;
        let Some(slice) = self.slices.get_mut((minute % MINUTES as u64) as usize) else { return };
        let slice = match slice {
            Some(slice) if slice.minute == minute => slice,
            other => other.insert(Slice { minute, registers: vec![0; REGISTERS].into() }),
        };
        let hash = self.keyed.hash_one(id);
        // The upper bits choose the register, the rest gives the rank: the position of its first 1.
        let rank = ((hash << PRECISION) | (1 << (PRECISION - 1))).leading_zeros() + 1;
        if let Some(register) = slice.registers.get_mut((hash >> (64 - PRECISION)) as usize) {
            *register = (*register).max(rank as u8);
        }
    }

    /// About how many different ids there were in the minute of `now` and the `minutes` - 1 before it.
    pub fn count(&self, now: At, minutes: u64) -> u64 {
        let now = now.0 / MINUTE;
        let mut union = [0_u8; REGISTERS];
        for slice in self.slices.iter().flatten().filter(|it| it.minute <= now && now - it.minute < minutes) {
            for (all, one) in union.iter_mut().zip(&slice.registers) {
                *all = (*all).max(*one);
            }
        }
        estimate(&union)
    }
}

fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let m = REGISTERS as f64;
    let zeros = registers.iter().filter(|register| **register == 0).count() as f64;
    let sum: f64 = registers.iter().map(|register| 0.5_f64.powi(i32::from(*register))).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let estimate = if raw <= 2.5 * m && zeros > 0.0 { m * (m / zeros).ln() } else { raw };
    estimate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: u64) -> At {
        At((1_000_000 + minute) * MINUTE + 5)
    }

    #[test]
    fn ids_count_once_in_each_window() {
        let mut active = Active::default();
        assert_eq!(active.count(minute(0), 60), 0);
        for _ in 0..100 {
            ["a", "b", "c"].into_iter().for_each(|id| active.see(id, minute(0)));
        }
        active.see("a", minute(7));
        active.see("d", minute(7));
        assert_eq!(active.count(minute(0), 5), 3);
        assert_eq!(active.count(minute(4), 5), 3);
        assert_eq!(active.count(minute(7), 5), 2);
        assert_eq!(active.count(minute(7), 60), 4);
        assert_eq!(active.count(minute(59), 60), 4);
        assert_eq!(active.count(minute(60), 60), 2);
        assert_eq!(active.count(minute(67), 60), 0);
        // An hour later the same slot serves another minute.
        active.see("e", minute(67));
        assert_eq!(active.count(minute(67), 60), 1);
    }

    #[test]
    fn large_numbers_are_about_right() {
        for count in [100, 3_000, 5_000, 20_000, 200_000_u64] {
            let mut active = Active::default();
            (0..count).for_each(|id| active.see(&format!("user-{id}"), minute(id % 50)));
            let estimate = active.count(minute(59), 60);
            let error = estimate.abs_diff(count) as f64 / count as f64;
            // Five standard errors: the hash's key differs from run to run.
            assert!(error < 0.115, "{estimate} for {count}");
        }
    }
}
