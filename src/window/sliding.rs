//! A sliding window over panes: adds the panes that come in, takes away those that fall out. Exact,
//! because panes hold integers only; so a day of one-minute panes costs one merge a slide, not 1440.

use std::collections::VecDeque;

use crate::domain::{EventTime, Window};

/// What can be added up and taken away again without a trace.
pub trait Mergeable {
    /// Adds `other`.
    fn merge(&mut self, other: &Self);
    /// Takes away `other`, which was merged before.
    fn subtract(&mut self, other: &Self);
}

impl Mergeable for crate::sketch::Summary {
    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }

    fn subtract(&mut self, other: &Self) {
        Self::subtract(self, other);
    }
}

/// The sum of the panes of the current window.
#[derive(Clone, Debug)]
pub struct SlidingWindow<T> {
    sum: T,
    /// Starts of the panes in the sum, ascending.
    panes: VecDeque<EventTime>,
}

impl<T: Mergeable> SlidingWindow<T> {
    /// A window without panes; `empty` is the sum of none.
    pub fn new(empty: T) -> Self {
        Self { sum: empty, panes: VecDeque::new() }
    }

    /// The sum of the window's panes.
    pub fn sum(&self) -> &T {
        &self.sum
    }

    /// Moves the window to `window`, which does not lie before the last one, and returns its sum.
    /// `panes` gives every pane of the range it is asked for (start included, end not), ascending;
    /// it is asked for what comes in and, pane by pane, for what falls out.
    pub fn slide_to<'a, P>(&mut self, window: Window, panes: impl Fn(EventTime, EventTime) -> P) -> &T
    where
        P: Iterator<Item = (EventTime, &'a T)>,
        T: 'a,
    {
        while let Some(start) = self.panes.front().copied().filter(|start| *start < window.start) {
            for (_, pane) in panes(start, EventTime::from_millis(start.as_millis() + 1)) {
                self.sum.subtract(pane);
            }
            self.panes.pop_front();
        }
        let from = self
            .panes
            .back()
            .map_or(window.start, |last| EventTime::from_millis(last.as_millis() + 1).max(window.start));
        for (start, pane) in panes(from, window.end) {
            self.sum.merge(pane);
            self.panes.push_back(start);
        }
        &self.sum
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Mergeable for u64 {
        fn merge(&mut self, other: &Self) {
            *self += other;
        }

        fn subtract(&mut self, other: &Self) {
            *self -= other;
        }
    }

    proptest! {
        #[test]
        fn a_sliding_window_equals_recomputation(
            counts in proptest::collection::btree_map(0_i64..60, 1_u64..1000, 0..40),
            size in 1_i64..12,
            slide in 1_i64..12,
        ) {
            let at = EventTime::from_millis;
            let panes: BTreeMap<EventTime, u64> = counts.into_iter().map(|(t, n)| (at(t), n)).collect();
            let mut sliding = SlidingWindow::new(0_u64);
            let mut end = slide;
            while end <= 70 {
                let window = Window { start: at(end - size), end: at(end) };
                let sum = *sliding.slide_to(window, |from, to| panes.range(from..to.max(from)).map(|(t, n)| (*t, n)));
                let direct: u64 = panes.range(window.start..window.end).map(|(_, n)| n).sum();
                prop_assert_eq!(sum, direct);
                end += slide;
            }
        }
    }
}
