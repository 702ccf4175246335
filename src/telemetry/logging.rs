//! Structured logs on standard error. A log line states what an operator should know, once per
//! batch and never per record; secrets are not in the types that are logged, so no filter has to
//! find them.

use std::io::IsTerminal as _;

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How lines look.
    pub format: Format,
    /// Directives of `tracing_subscriber::EnvFilter`: `info`, or `info,plimsoll::engine=debug`.
    pub level: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Text, level: "info".to_owned() }
    }
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is not a list of filter directives.
    #[error("`{level}` is not a log level: write `info`, or `info,plimsoll::engine=debug`")]
    Level {
        /// As it was given.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging is already set up")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Logs to standard error from now on.
///
/// # Errors
/// If the level cannot be read, or logging was set up before.
pub fn init(config: &Config) -> Result<(), Error> {
    let colours = std::io::stderr().is_terminal();
    tracing::subscriber::set_global_default(subscriber(config, std::io::stderr, colours)?)?;
    Ok(())
}

/// The subscriber that writes to `writer`, for those who keep standard error for something else.
///
/// # Errors
/// If the level cannot be read.
pub fn subscriber<W>(
    config: &Config,
    writer: W,
    colours: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&config.level)
        .map_err(|source| Error::Level { level: config.level.clone(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match config.format {
        Format::Text => Box::new(builder.with_ansi(colours).finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, level: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let config = Config { format, level: level.to_owned() };
        let subscriber = subscriber(&config, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(records = 3, "batch decoded");
            tracing::debug!("not at this level");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_carry_message_and_fields_and_respect_the_level() {
        let text = logged(Format::Json, "info");
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((line["message"].as_str(), line["records"].as_u64()), (Some("batch decoded"), Some(3)));
        assert_eq!(line["level"], "INFO");
        assert_eq!(logged(Format::Json, "debug").lines().count(), 2);
    }

    #[test]
    fn text_lines_are_readable_and_without_colours_where_asked() {
        let text = logged(Format::Text, "warn,plimsoll=info");
        assert!(text.contains("INFO") && text.contains("batch decoded records=3"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_level_that_is_none_is_refused_by_name() {
        let config = Config { level: "loud=very".to_owned(), ..Config::default() };
        let error = subscriber(&config, std::io::sink, false).err().unwrap();
        assert!(error.to_string().contains("loud=very"), "{error}");
    }
}
