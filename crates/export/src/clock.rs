//! Time and ids of one exchange.
//!
//! The wall clock is read once, when an exchange begins; everything later is monotonic time added to it, so no duration
//! ever runs backwards. Ids come from a generator of the thread's own, seeded by the operating system: unique, cheap,
//! and no secret.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ai_tracing_core::capture::Ids;
use ai_tracing_core::time::At;

/// What the wall clock says now.
pub fn now() -> At {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// So long after the Unix epoch.
fn nanos(since: Duration) -> At {
    At(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// When an exchange began, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Duration,
    begun: Instant,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self { wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), begun: Instant::now() }
    }

    /// A clock of what began `age` before now.
    pub fn begun_ago(age: Duration) -> Self {
        let now = Self::start();
        Self { wall: now.wall.saturating_sub(age), begun: now.begun.checked_sub(age).unwrap_or(now.begun) }
    }

    /// The instant at which the exchange began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// `instant` as wall-clock time.
    pub fn at(&self, instant: Instant) -> At {
        nanos(self.wall.saturating_add(instant.saturating_duration_since(self.begun)))
    }

    /// Whole milliseconds from the exchange's begin to `instant`.
    pub fn ms(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }

    /// New ids for a call that began with this clock.
    pub fn ids(&self) -> Ids {
        let (a, b) = (random(), random());
        let mut bytes = [0; 10];
        for (byte, value) in bytes.iter_mut().zip(a.to_le_bytes().into_iter().chain(b.to_le_bytes())) {
            *byte = value;
        }
        let millis = u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX);
        let call = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
        Ids { call: call.hyphenated().to_string(), trace: random_u128(), span: random() }
    }
}

/// A random number that is never 0.
pub fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(seed());
    }
    STATE.with(|state| {
        // SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators"): every state occurs once in
        // its period of 2^64.
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).max(1)
    })
}

/// 128 random bits that are never all 0.
pub fn random_u128() -> u128 {
    u128::from(random()) << 64 | u128::from(random())
}

fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        // No entropy source: the clock still tells threads and runs apart.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_nanos() as u64
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn time_is_wall_clock_plus_what_has_passed_since() {
        let clock = Clock::start();
        let later = clock.begun() + Duration::from_millis(1500);
        assert_eq!(clock.at(later).0 - clock.at(clock.begun()).0, 1_500_000_000);
        assert_eq!(clock.ms(later), 1500);
        assert!(clock.at(clock.begun()).unix_ms() > 1_700_000_000_000);
    }

    #[test]
    fn what_began_before_now_has_lasted_since() {
        let (now, clock) = (Instant::now(), Clock::begun_ago(Duration::from_millis(70)));
        assert!(clock.ms(now) <= 70 && clock.ms(now + Duration::from_millis(30)) >= 99, "{clock:?}");
        let unknowable = Clock::begun_ago(Duration::MAX);
        assert!(unknowable.at(unknowable.begun()).0 < 1_000_000_000, "{unknowable:?}");
    }

    #[test]
    fn ids_are_unique_and_the_call_id_is_a_uuid_of_version_7() {
        let clock = Clock::start();
        let ids: Vec<Ids> = (0..1000).map(|_| clock.ids()).collect();
        assert_eq!(ids.iter().map(|ids| ids.call.clone()).collect::<HashSet<_>>().len(), 1000);
        assert_eq!(ids.iter().map(|ids| ids.trace).collect::<HashSet<_>>().len(), 1000);
        assert!(ids.iter().all(|ids| ids.trace != 0 && ids.span != 0 && ids.call.as_bytes()[14] == b'7'));
    }
}
