//! Wires everything; the only place that knows everyone.

pub mod act;
pub mod acting;
pub mod auditing;
pub mod budget;
pub mod calibrate;
pub mod clock;
pub mod comparing;
pub mod compile;
pub mod daemon;
pub mod demo;
pub mod explaining;
pub mod files;
pub mod inspect;
pub mod people;
pub mod pipeline;
pub mod profiling;
pub mod reload;
pub mod replay;
pub mod roles;
pub mod run;
pub mod simulate;
pub mod topics;
pub mod wiring;

/// Several errors as one, a line each.
pub(crate) fn several<E: std::error::Error>(errors: &[E]) -> anyhow::Error {
    let lines: Vec<String> = errors
        .iter()
        .map(|error| {
            let mut line = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                line = format!("{line}: {cause}");
                source = cause.source();
            }
            line
        })
        .collect();
    anyhow::anyhow!(lines.join("\n"))
}
