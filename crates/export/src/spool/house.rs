//! What keeps the spool in order between two chunks: files that nobody waits for, age, the directory itself.

use std::sync::atomic::Ordering;

use ai_tracing_core::time::At;

use super::recover::Home;
use super::segment::Segment;
use super::{Event, LaneId, Spool, SpoolError, Why};

/// After so long without an append, in nanoseconds, a last segment that nobody waits for goes too: what was delivered
/// does not stay on disk.
const IDLE: u64 = 1_000_000_000;

impl Spool {
    /// Everything that is due and is nobody's request: call it a few times a second, also under load. It takes a few
    /// milliseconds at most and says what came of it.
    pub fn keep_house(&mut self, now: At) -> Vec<Event> {
        if !self.home.is_ours()
            && let Err(error) = self.come_home()
        {
            tracing::error!("AI Tracing: the spool's directory is gone: {error}");
        }
        self.drop_aged(now);
        let is_last_done = self.segments.back().is_some_and(|segment| segment.len > 0 && segment.is_done());
        // A clock set back makes this later, never earlier.
        if is_last_done && now.0.saturating_sub(self.last_append.0) >= IDLE {
            self.seal();
        }
        // Deletions and cursors that failed before.
        self.remove_done();
        for id in self.lane_ids() {
            self.save(id);
        }
        let mut events = self.adopt(now);
        let lost = std::mem::take(&mut self.lost).into_iter();
        events.extend(lost.map(|((lane, why), (records, before))| Event::Lost { lane, records, why, before }));
        events
    }

    /// Makes everything last, whatever the policy's interval, and removes what nobody needs. For the shutdown.
    pub fn sync(&mut self) {
        if self.segments.back().is_some_and(Segment::is_done) {
            self.seal();
        }
        self.syncer.flush();
    }

    /// Whole segments go, the oldest first, once their last entry is too old. An entry of the future, from before the
    /// clock was set back, keeps its segment until then.
    fn drop_aged(&mut self, now: At) {
        let max_age = self.options.max_age.as_nanos();
        let aged = |segment: &Segment| u128::from(now.0.saturating_sub(segment.newest.0)) > max_age;
        while self.segments.front().is_some_and(|segment| segment.len > 0 && aged(segment)) {
            self.drop_oldest(Why::Aged);
        }
    }

    /// Removes the segments that nobody waits for, except for one that still grows.
    pub(super) fn remove_done(&mut self) {
        let growing = self.active.is_some().then(|| self.segments.back().map(|it| it.number)).flatten();
        let mut index = 0;
        while let Some(segment) = self.segments.get(index) {
            if !segment.is_done() || Some(segment.number) == growing {
                index += 1;
            } else if let Some(segment) = self.segments.remove(index)
                && !self.delete(&segment)
            {
                // It still takes room; the next round tries again.
                self.bytes += segment.len;
                self.segments.insert(index, segment);
                index += 1;
            }
        }
        self.publish_size();
    }

    /// Deletes a segment's file.
    pub(super) fn delete(&mut self, segment: &Segment) -> bool {
        self.reading = self.reading.take().filter(|(number, _)| *number != segment.number);
        self.bytes = self.bytes.saturating_sub(segment.len);
        let removed = self.disk.remove(&self.home.name, &Segment::file_name(segment.number));
        self.publish_size();
        match removed {
            Ok(()) => true,
            Err(error) => {
                self.error("cannot delete", error);
                false
            }
        }
    }

    pub(super) fn publish_size(&self) {
        self.watch.bytes.store(self.bytes, Ordering::Relaxed);
        self.watch.segments.store(self.segments.len() as u64, Ordering::Relaxed);
    }

    pub(super) fn lane_ids(&self) -> impl Iterator<Item = LaneId> + use<> {
        (0..self.lanes.len()).filter_map(|index| u16::try_from(index).ok().map(LaneId))
    }

    /// Somebody has removed the file that says the directory is ours. Where nobody has taken it since, it is locked
    /// again.
    fn come_home(&mut self) -> Result<(), SpoolError> {
        match Home::enter(&self.disk, &self.home.name) {
            Ok(Some(home)) => {
                self.home = home;
                self.save_all();
                Ok(())
            }
            Ok(None) | Err(_) => self.move_house(),
        }
    }

    /// Makes a new directory for everything from now on. What was in the old one is found missing when it is read.
    pub(super) fn move_house(&mut self) -> Result<(), SpoolError> {
        self.active = None;
        self.reading = None;
        let home = Home::make(&self.disk).map_err(|error| self.error("cannot make the spool's directory", error))?;
        tracing::warn!("AI Tracing: the spool goes on in a new directory: {}", home.name);
        self.home = home;
        self.save_all();
        Ok(())
    }

    fn save_all(&mut self) {
        for id in self.lane_ids() {
            if let Some(lane) = self.lanes.get_mut(id.index()) {
                lane.unsaved = true;
            }
            self.save(id);
        }
    }
}
