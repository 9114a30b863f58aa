//! Values by number, for a caller that cannot be trusted to keep pointers.
//!
//! A number is a place and how often the place was given away before, so that an old number does not name its place's
//! next value. Numbers fit an `int32_t` and are greater than 0.

use std::collections::VecDeque;

/// Bits of a number that tell the place.
const PLACE_BITS: u32 = 17;
/// Most values that there can be at a time.
pub const MOST: usize = 1 << PLACE_BITS;
/// Generations of a place: 1 to this.
const GENERATIONS: u32 = (1 << (31 - PLACE_BITS)) - 1;

/// Values by number.
#[derive(Debug)]
pub struct Slots<T> {
    places: Vec<Place<T>>,
    /// Free places. The one that was freed first is given away first: so old numbers stay old for long.
    free: VecDeque<u32>,
    limit: usize,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    /// `None`: free, or its value is in use.
    value: Option<T>,
    /// Given away.
    used: bool,
}

impl<T> Slots<T> {
    /// Room for `limit` values, [`MOST`] at most.
    pub fn new(limit: usize) -> Self {
        Self { places: Vec::new(), free: VecDeque::new(), limit: limit.min(MOST) }
    }

    /// The number of a new value; `None` when there is no room.
    pub fn insert(&mut self, value: T) -> Option<i32> {
        let place = match self.free.pop_front() {
            Some(place) => place,
            None if self.places.len() < self.limit => {
                self.places.push(Place { generation: 0, value: None, used: false });
                u32::try_from(self.places.len() - 1).ok()?
            }
            None => return None,
        };
        let slot = self.places.get_mut(place as usize)?;
        slot.generation = slot.generation % GENERATIONS + 1;
        slot.value = Some(value);
        slot.used = true;
        i32::try_from(slot.generation << PLACE_BITS | place).ok()
    }

    /// The value of a number.
    pub fn get(&self, number: i32) -> Option<&T> {
        self.place(number).and_then(|place| self.places.get(place)?.value.as_ref())
    }

    /// Takes a value out for use. Its number is kept until [`Slots::put_back`] or [`Slots::free`], and names nothing
    /// until then.
    pub fn take(&mut self, number: i32) -> Option<T> {
        let place = self.place(number)?;
        self.places.get_mut(place)?.value.take()
    }

    /// Puts back what was taken.
    pub fn put_back(&mut self, number: i32, value: T) {
        if let Some(place) = self.place(number).and_then(|place| self.places.get_mut(place)) {
            place.value = Some(value);
        }
    }

    /// Ends a number; gives back its value, if it was not taken.
    pub fn free(&mut self, number: i32) -> Option<T> {
        let place = self.place(number)?;
        let slot = self.places.get_mut(place)?;
        slot.used = false;
        let value = slot.value.take();
        self.free.extend(u32::try_from(place));
        value
    }

    /// Ends all numbers; their values.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        let places = self.places.len();
        self.free = (0..u32::try_from(places).unwrap_or(u32::MAX)).collect();
        self.places.iter_mut().filter_map(|place| {
            place.used = false;
            place.value.take()
        })
    }

    /// Values that there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of a number that is in use.
    fn place(&self, number: i32) -> Option<usize> {
        let number = u32::try_from(number).ok()?;
        let place = (number & (MOST as u32 - 1)) as usize;
        let slot = self.places.get(place)?;
        (slot.used && slot.generation == number >> PLACE_BITS).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_its_value_until_it_is_freed_and_nothing_after() {
        let mut slots = Slots::new(2);
        let (a, b) = (slots.insert("a").unwrap(), slots.insert("b").unwrap());
        assert_eq!((slots.get(a), slots.get(b), slots.len()), (Some(&"a"), Some(&"b"), 2));
        assert_eq!(slots.insert("c"), None);
        assert_eq!((slots.free(a), slots.free(a)), (Some("a"), None));
        assert_eq!(slots.get(a), None);
        let c = slots.insert("c").unwrap();
        assert!(c != a && slots.get(a).is_none() && slots.take(a).is_none());
        slots.put_back(a, "late");
        assert_eq!((slots.get(c), slots.len()), (Some(&"c"), 2));
    }

    #[test]
    fn what_is_taken_can_be_put_back_or_given_up() {
        let mut slots = Slots::new(1);
        let a = slots.insert(1).unwrap();
        assert_eq!((slots.take(a), slots.take(a), slots.insert(2)), (Some(1), None, None));
        slots.put_back(a, 3);
        assert_eq!((slots.take(a), slots.free(a), slots.is_empty()), (Some(3), None, true));
        slots.put_back(a, 4);
        assert_eq!(slots.get(a), None);
        assert!(slots.insert(5).is_some());
    }

    #[test]
    fn numbers_are_positive_and_wrong_ones_name_nothing() {
        let mut slots = Slots::new(1);
        let mut seen = std::collections::HashSet::new();
        for round in 0..GENERATIONS {
            let number = slots.insert(round).unwrap();
            assert!(number > 0 && seen.insert(number), "{round}: {number}");
            slots.free(number);
        }
        assert!(seen.contains(&slots.insert(0).unwrap()), "they repeat in the end");
        for wrong in [0, -1, i32::MIN, i32::MAX, 1, 77] {
            assert!(slots.get(wrong).is_none() && slots.free(wrong).is_none(), "{wrong}");
        }
        assert_eq!(slots.drain().collect::<Vec<_>>(), [0]);
        assert!(slots.is_empty());
    }
}
