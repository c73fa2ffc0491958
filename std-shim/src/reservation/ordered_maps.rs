//! What is mapped where: entries that do not overlap, in the order of their addresses.

use core::ops::Range;
use std::collections::BTreeMap;

/// Ranges of addresses, none of which overlap, each with a value.
#[derive(Debug)]
pub(super) struct OrderedMaps<T> {
    by_start: BTreeMap<usize, (usize, T)>,
}

impl<T> OrderedMaps<T> {
    pub(super) const fn new() -> OrderedMaps<T> {
        OrderedMaps {
            by_start: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// Adds a range that is not empty and overlaps no other.
    pub(super) fn insert(&mut self, range: Range<usize>, value: T) {
        debug_assert!(!range.is_empty() && !self.is_occupied(range.clone()));
        self.by_start.insert(range.start, (range.end, value));
    }

    pub(super) fn remove(&mut self, start: usize) -> Option<T> {
        self.by_start.remove(&start).map(|(_, value)| value)
    }

    /// Whether a range overlaps an entry.
    pub(super) fn is_occupied(&self, range: Range<usize>) -> bool {
        self.overlapping(range).next().is_some()
    }

    /// The entries that overlap a range, in order; for an empty range, the entry that its start is in.
    pub(super) fn overlapping(&self, range: Range<usize>) -> impl Iterator<Item = &T> {
        let Range { start, end } = range;
        // Of the entries that begin before it, only the last can reach into it.
        let before = self.by_start.range(..start).next_back();
        let before = before.filter(move |&(_, &(its_end, _))| its_end > start);
        let last = end.saturating_sub(1).max(start);
        before
            .into_iter()
            .chain(self.by_start.range(start..=last))
            .map(|(_, (_, value))| value)
    }

    /// All entries, in order.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.by_start.values().map(|(_, value)| value)
    }

    /// The entries that begin behind an address, in order.
    pub(super) fn behind(&self, start: usize) -> impl Iterator<Item = &T> {
        use core::ops::Bound::{Excluded, Unbounded};
        self.by_start
            .range((Excluded(start), Unbounded))
            .map(|(_, (_, value))| value)
    }

    /// The entries that begin before an address, the nearest first.
    pub(super) fn before(&self, start: usize) -> impl Iterator<Item = &T> {
        self.by_start
            .range(..start)
            .rev()
            .map(|(_, (_, value))| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps() -> OrderedMaps<char> {
        let mut maps = OrderedMaps::new();
        maps.insert(30..40, 'c');
        maps.insert(10..20, 'a');
        maps.insert(20..25, 'b');
        maps
    }

    fn text<'a>(values: impl Iterator<Item = &'a char>) -> String {
        values.collect()
    }

    #[test]
    fn overlaps() {
        let maps = maps();
        for (range, expected) in [
            (0..10, ""),
            (0..11, "a"),
            (19..20, "a"),
            (20..21, "b"),
            (15..31, "abc"),
            (25..30, ""),
            (39..usize::MAX, "c"),
            (40..usize::MAX, ""),
            (0..usize::MAX, "abc"),
            // Empty ranges.
            (10..10, "a"),
            (12..12, "a"),
            (20..20, "b"),
            (25..25, ""),
            (0..0, ""),
        ] {
            assert_eq!(text(maps.overlapping(range.clone())), expected, "{range:?}");
        }
    }

    #[test]
    fn order() {
        let mut maps = maps();
        assert_eq!(text(maps.all()), "abc");
        assert_eq!(text(maps.behind(10)), "bc");
        assert_eq!(text(maps.behind(30)), "");
        assert_eq!(text(maps.before(30)), "ba");
        assert_eq!(text(maps.before(10)), "");
        assert_eq!(maps.remove(20), Some('b'));
        assert_eq!(maps.remove(20), None);
        assert_eq!(text(maps.all()), "ac");
        assert!(!maps.is_empty());
    }

    #[test]
    fn agrees_with_a_list() {
        use proptest::prelude::*;
        let ranges = prop::collection::vec((0_usize..200, 1_usize..30), 0..20);
        proptest!(|(ranges in ranges, start in 0_usize..220, len in 0_usize..60)| {
            let mut maps = OrderedMaps::new();
            let mut list: Vec<Range<usize>> = Vec::new();
            for (start, len) in ranges {
                let range = start..start + len;
                let free = list.iter().all(|r| r.end <= range.start || range.end <= r.start);
                prop_assert_eq!(maps.is_occupied(range.clone()), !free);
                if free {
                    maps.insert(range.clone(), range.clone());
                    list.push(range);
                }
            }
            list.sort_by_key(|range| range.start);
            let end = start + len.max(1);
            let expected: Vec<_> = list.iter().filter(|r| r.start < end && start < r.end).collect();
            prop_assert_eq!(maps.overlapping(start..start + len).collect::<Vec<_>>(), expected);
        });
    }
}
