//! Whose turn it is at a destination, and what there is to do.
//!
//! A destination runs while somebody uses it. Without users it delivers what it has and closes; a new user opens it
//! again. Its worker can be replaced at any time: whoever has the latest [`Turn`] works, the one before hands over. A
//! meter of OTLP metrics and its reporter live by the same rules.

use tokio::sync::watch;

/// What a worker is to do. What comes later in this list overrides what comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// Batch, send, wait for more.
    Run,
    /// Nobody uses the destination: deliver what is there, with the usual patience, and end.
    Close,
    /// The process ends: one attempt for everything at once, no waiting, and end.
    Flush,
    /// Another worker goes on: give back what is left, and end.
    HandOver,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    users: usize,
    flushing: bool,
    /// Number of the latest turn.
    turn: u64,
}

/// The state of one destination, as its users and the engine change it.
#[derive(Debug, Default)]
pub(crate) struct Turns(watch::Sender<State>);

impl Turns {
    /// One more user; true when it is the only one.
    pub fn enter(&self) -> bool {
        let mut only = false;
        self.0.send_modify(|state| {
            only = state.users == 0;
            state.users += 1;
        });
        only
    }

    /// One user less.
    pub fn leave(&self) {
        self.0.send_modify(|state| state.users = state.users.saturating_sub(1));
    }

    /// The process ends.
    pub fn flush(&self) {
        self.0.send_modify(|state| state.flushing = true);
    }

    /// The next worker's turn; that of the one before is over.
    pub fn next(&self) -> Turn {
        let mut number = 0;
        self.0.send_modify(|state| {
            state.turn += 1;
            number = state.turn;
        });
        Turn { number, state: self.0.subscribe() }
    }

    /// What the latest worker is to do.
    #[cfg(test)]
    pub fn mode(&self) -> Mode {
        let state = *self.0.borrow();
        state.mode(state.turn)
    }
}

impl State {
    fn mode(self, turn: u64) -> Mode {
        match self {
            Self { turn: latest, .. } if latest != turn => Mode::HandOver,
            Self { flushing: true, .. } => Mode::Flush,
            Self { users: 0, .. } => Mode::Close,
            _ => Mode::Run,
        }
    }
}

/// A worker's turn.
#[derive(Debug)]
pub(crate) struct Turn {
    number: u64,
    state: watch::Receiver<State>,
}

impl Turn {
    /// What to do now.
    pub fn mode(&mut self) -> Mode {
        self.state.borrow_and_update().mode(self.number)
    }

    /// Ends when the mode may be another than at the last look.
    pub async fn changed(&mut self) {
        // The sender lives as long as the work: the worker holds its destination, the reporter of metrics its turns.
        let _ = self.state.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_closes_without_users_and_opens_again() {
        let turns = Turns::default();
        let mut turn = turns.next();
        assert_eq!(turn.mode(), Mode::Close);
        assert!(turns.enter() && !turns.enter());
        assert_eq!(turn.mode(), Mode::Run);
        turns.leave();
        assert_eq!(turn.mode(), Mode::Run, "one is left");
        turns.leave();
        assert_eq!(turn.mode(), Mode::Close);
        assert!(turns.enter());
        assert_eq!(turn.mode(), Mode::Run);
    }

    #[test]
    fn a_flush_is_for_good_and_only_the_latest_works() {
        let turns = Turns::default();
        let (mut first, mut second) = (turns.next(), turns.next());
        turns.flush();
        turns.enter();
        assert_eq!((first.mode(), second.mode()), (Mode::HandOver, Mode::Flush));
        assert_eq!(turns.mode(), Mode::Flush);
    }
}
