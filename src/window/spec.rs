//! Size and slide of a window, in event time. Windows end at multiples of their slide since the
//! epoch, so that every instance and every replay cuts the same ones.

use std::time::Duration;

use crate::domain::{EventTime, Window};

/// Why a size and a slide make no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A pane has no width.
    #[error("a pane is at least one millisecond wide")]
    NoPane,
    /// The size is no whole number of panes.
    #[error("the window of {size:?} is not a whole number of panes of {pane:?}")]
    Size {
        /// The window's size.
        size: Duration,
        /// The pane's width.
        pane: Duration,
    },
    /// The slide is no whole number of panes.
    #[error("the slide of {slide:?} is not a whole number of panes of {pane:?}")]
    Slide {
        /// The window's slide.
        slide: Duration,
        /// The pane's width.
        pane: Duration,
    },
    /// Rows between two windows would never be looked at.
    #[error(
        "the slide of {slide:?} is longer than the window of {size:?}: rows between windows would be in none"
    )]
    Gap {
        /// The window's slide.
        slide: Duration,
        /// The window's size.
        size: Duration,
    },
}

/// Windows of `size` that end every `slide`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowSpec {
    size: Duration,
    slide: Duration,
}

impl WindowSpec {
    /// Windows of `size`, one every `slide`, both whole numbers of `pane`.
    ///
    /// # Errors
    /// When they are not, or when the slide is longer than the size.
    pub fn new(size: Duration, slide: Duration, pane: Duration) -> Result<Self, Error> {
        let whole = |span: Duration| !span.is_zero() && span.as_millis().is_multiple_of(pane.as_millis());
        if pane.as_millis() == 0 {
            return Err(Error::NoPane);
        }
        if !whole(size) {
            return Err(Error::Size { size, pane });
        }
        if !whole(slide) {
            return Err(Error::Slide { slide, pane });
        }
        if slide > size {
            return Err(Error::Gap { slide, size });
        }
        Ok(Self { size, slide })
    }

    /// Length of a window.
    pub fn size(&self) -> Duration {
        self.size
    }

    /// Time from one window's end to the next one's.
    pub fn slide(&self) -> Duration {
        self.slide
    }

    /// The first window end after `time`.
    pub fn next_end(&self, time: EventTime) -> EventTime {
        time.floor(self.slide) + self.slide
    }

    /// The window that ends at `end`.
    pub fn ending(&self, end: EventTime) -> Window {
        Window { start: end - self.size, end }
    }
}
