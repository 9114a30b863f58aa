//! A queue with two bounds: entries and bytes.

use std::collections::VecDeque;

/// Items in order of arrival, each with its weight in bytes. Nothing is pushed beyond its bounds.
pub(crate) struct Bounded<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

/// Why an item does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Entries,
    Bytes,
}

impl<T> Bounded<T> {
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self { items: VecDeque::new(), bytes: 0, max_entries, max_bytes }
    }

    /// Whether an item of `weight` bytes fits now.
    pub fn fits(&self, weight: usize) -> Result<(), Full> {
        if self.items.len() >= self.max_entries {
            Err(Full::Entries)
        } else if self.bytes.saturating_add(weight) > self.max_bytes {
            Err(Full::Bytes)
        } else {
            Ok(())
        }
    }

    /// Whether an item of `weight` bytes fits into the empty queue.
    pub fn could_fit(&self, weight: usize) -> bool {
        self.max_entries > 0 && weight <= self.max_bytes
    }

    /// Appends an item; gives it back when it does not fit.
    pub fn push(&mut self, item: T, weight: usize) -> Result<(), (Full, T)> {
        if let Err(full) = self.fits(weight) {
            return Err((full, item));
        }
        self.bytes += weight;
        self.items.push_back((item, weight));
        Ok(())
    }

    /// Puts an item before all others, whatever the bounds: it was here before.
    pub fn push_front(&mut self, item: T, weight: usize) {
        self.bytes += weight;
        self.items.push_front((item, weight));
    }

    /// Appends an item, whatever the bounds: it has to go through here, and fits nowhere else.
    pub fn push_anyway(&mut self, item: T, weight: usize) {
        self.bytes += weight;
        self.items.push_back((item, weight));
    }

    /// Other bounds, for what is pushed from now on.
    pub fn set_bounds(&mut self, max_entries: usize, max_bytes: usize) {
        (self.max_entries, self.max_bytes) = (max_entries, max_bytes);
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<(T, usize)> {
        let (item, weight) = self.items.pop_front()?;
        self.bytes -= weight;
        Some((item, weight))
    }

    /// Takes the oldest items: at most `max_entries`, and no more once they weigh `max_bytes` together; at least one
    /// if there is any.
    pub fn take(&mut self, max_entries: usize, max_bytes: usize) -> Vec<T> {
        let (mut taken, mut bytes) = (Vec::new(), 0_usize);
        while taken.len() < max_entries.max(1) {
            let Some((_, weight)) = self.items.front() else { break };
            if !taken.is_empty() && bytes.saturating_add(*weight) > max_bytes {
                break;
            }
            let Some((item, weight)) = self.pop() else { break };
            bytes += weight;
            taken.push(item);
        }
        taken
    }

    /// The oldest item.
    pub fn front(&self) -> Option<&T> {
        self.items.front().map(|(item, _)| item)
    }

    /// Takes out what `wanted` picks, in order; the rest stays.
    pub fn extract(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let items = std::mem::take(&mut self.items).into_iter();
        let (taken, kept): (VecDeque<_>, VecDeque<_>) = items.partition(|(item, _)| wanted(item));
        self.items = kept;
        self.bytes -= taken.iter().map(|(_, weight)| weight).sum::<usize>();
        taken.into_iter().map(|(item, _)| item).collect()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_out_makes_room() {
        let mut queue = Bounded::new(3, 100);
        (1..4).for_each(|weight| assert_eq!(queue.push(weight, weight), Ok(())));
        assert_eq!(queue.extract(|item| *item != 2), [1, 3]);
        assert_eq!((queue.len(), queue.bytes(), queue.front()), (1, 2, Some(&2)));
    }

    #[test]
    fn both_bounds_hold_and_are_told_apart() {
        let mut queue = Bounded::new(2, 10);
        assert_eq!(queue.push('a', 6), Ok(()));
        assert_eq!(queue.push('b', 5), Err((Full::Bytes, 'b')));
        assert_eq!(queue.push('c', 4), Ok(()));
        assert_eq!(queue.push('d', 0), Err((Full::Entries, 'd')));
        assert_eq!((queue.len(), queue.bytes()), (2, 10));
        assert_eq!(queue.pop(), Some(('a', 6)));
        assert_eq!((queue.len(), queue.bytes()), (1, 4));
    }

    #[test]
    fn take_is_bounded_by_entries_and_bytes_but_moves_on() {
        let mut queue = Bounded::new(10, 1000);
        for weight in [100, 5, 5, 5] {
            let _ = queue.push(weight, weight);
        }
        assert_eq!(queue.take(3, 50), [100], "one item may exceed the bytes: it has to leave some time");
        assert_eq!(queue.take(3, 10), [5, 5]);
        assert_eq!(queue.take(3, 10), [5]);
        assert!(queue.take(3, 10).is_empty() && queue.bytes() == 0);
    }
}
