//! Styles by meaning. Without colour only weight is left, which every terminal can show.

use ratatui::style::{Color, Modifier, Style};

use crate::domain::Verdict;
use crate::engine::view::PolicyState;

/// The styles of one screen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    colour: bool,
}

impl Theme {
    pub(super) const fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// Names of sections and columns.
    pub(super) fn title(self) -> Style {
        self.paint(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// What is there to be looked up, not to be watched.
    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn bad(self) -> Style {
        self.paint(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn good(self) -> Style {
        self.paint(Color::Green)
    }

    pub(super) fn unsure(self) -> Style {
        self.paint(Color::Yellow)
    }

    pub(super) fn verdict(self, verdict: Option<Verdict>) -> Style {
        match verdict {
            Some(Verdict::Breach) => self.bad(),
            Some(Verdict::Pass) => self.good(),
            Some(Verdict::Insufficient) => self.unsure(),
            None => self.quiet(),
        }
    }

    pub(super) fn state(self, state: PolicyState) -> Style {
        match state {
            PolicyState::Violated => self.bad(),
            PolicyState::Ok => self.good(),
            PolicyState::Warn => self.unsure(),
            PolicyState::Unknown => self.quiet(),
        }
    }

    fn paint(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}
