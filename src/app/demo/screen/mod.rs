//! The demo on a terminal: one picture that keeps still. Every section has its place and its
//! height, which follow from the terminal's size alone, and rows move only when their meaning
//! changes. Words carry everything; colour only repeats them.

mod sections;
mod terminal;
mod theme;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};

use super::status::DemoStatus;
use crate::engine::view::View;

pub use terminal::{Key, Terminal};
use theme::Theme;

/// Lines of the smallest terminal on which every section shows what it is there for.
const LINES: u16 = 24;

/// Draws the demo. Depends on its arguments alone; any size will do, and 80 by 24 shows everything.
pub fn draw(frame: &mut Frame<'_>, view: &View, status: &DemoStatus) {
    let theme = Theme::new(status.colour);
    let area = frame.area();
    let spare = area.height.saturating_sub(LINES);
    // The checks take the rest: of all sections they have most to say.
    let [header, models, checks, decisions, actions, footer] = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(3 + (spare / 6).min(4)),
        Constraint::Min(0),
        Constraint::Length(4 + (spare / 3).min(8)),
        Constraint::Length(3 + (spare / 8).min(3)),
        Constraint::Length(2),
    ])
    .areas(area);
    frame.render_widget(sections::header(view, status, header.width, theme), header);
    frame.render_widget(sections::models(view, models, theme), models);
    sections::checks(frame, view, checks, theme);
    frame.render_widget(sections::decisions(view, decisions, theme), decisions);
    frame.render_widget(sections::actions(view, actions, theme), actions);
    frame.render_widget(sections::footer(status, theme), footer);
}

#[cfg(test)]
mod tests;
