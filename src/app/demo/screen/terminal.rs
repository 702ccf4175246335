//! Takes the terminal and gives it back, whatever happens: at the end, on an error's way out, and
//! in a panic (the hook that ratatui installs puts it back before the message is printed). A
//! process that is killed by a signal gets no such chance: whoever runs this handles signals.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};

use super::draw;
use crate::app::demo::status::DemoStatus;
use crate::engine::view::View;

/// A key that the demo understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `q`, Escape or Ctrl-C, which is no signal while the terminal is in raw mode.
    Quit,
}

/// The terminal while the demo has it.
#[derive(Debug)]
pub struct Terminal {
    inner: DefaultTerminal,
}

impl Terminal {
    /// Takes the terminal: raw mode, alternate screen. Fails where standard output is none.
    pub fn open() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(inner) => Ok(Self { inner }),
            Err(error) => {
                // Raw mode may be on already.
                let _ = ratatui::try_restore();
                Err(error)
            }
        }
    }

    /// Draws one picture; only what changed is written.
    pub fn draw(&mut self, view: &View, status: &DemoStatus) -> io::Result<()> {
        self.inner.draw(|frame| draw(frame, view, status)).map(drop)
    }

    /// A key pressed since the last call, without waiting for one. A changed size needs no answer:
    /// the next `draw` finds it.
    pub fn key(&mut self) -> io::Result<Option<Key>> {
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()?
                && let Some(key) = meaning(key)
            {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.inner.show_cursor();
        // Nothing is left to tell a failure to: the terminal is gone.
        let _ = ratatui::try_restore();
    }
}

fn meaning(key: KeyEvent) -> Option<Key> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let quits = match key.code {
        KeyCode::Char('c') => control,
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => !control,
        _ => false,
    };
    (quits && key.is_press()).then_some(Key::Quit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_control_c_quit_and_nothing_else_does() {
        let press = |code, modifiers| meaning(KeyEvent::new(code, modifiers));
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('Q'), KeyModifiers::SHIFT), Some(Key::Quit));
        assert_eq!(press(KeyCode::Esc, KeyModifiers::NONE), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(press(KeyCode::Enter, KeyModifiers::NONE), None);
    }
}
