//! `docs/metrics.md`, written from the catalogue.

use std::fmt::Write as _;

use super::catalogue::{Id, Series, Unit};

const INTRODUCTION: &str = "\
# Metrics

This page is made from the catalogue in `src/telemetry/catalogue.rs`. To renew it, run
`PLIMSOLL_BLESS=1 cargo test --test suite metrics`.

`GET /metrics` answers in OpenMetrics 1.0 to a scraper that asks for it, else in the Prometheus text format 0.0.4.

- One quantity, one unit: seconds, bytes, or a share (`_ratio`). Two statistics are two metrics.
- Points in time are seconds since the Unix epoch; subtract them from `time()`. Those of records and windows are event time.
- What cannot be computed is absent, never 0 or NaN; `plimsoll_check_findings{verdict=\"insufficient\"}` says so.
- Counters start at 0 with the daemon. Those of the intake count what this instance has read, so a rebalance that takes
  a partition away may lower them, which Prometheus treats as a restart.
- Two gauges are totals that no restart and no rebalance changes, because they come from the exchange's own log: what a sum over
  instances of `plimsoll_log_records` and `plimsoll_log_turned_late_records` says. Every record that was read is used, late or
  rejected there; those that turned late are among the used ones.
- Event time and `plimsoll_owner` belong to the partition of the exchange that the label `partition` names, wherever it is held.
- A model whose windows have all passed without a row leaves the page, its counters included.
- Actions are counted when the audit log has them, by the instance that owns them; a restart counts nothing again but that
  a person is asked anew. What is open or stands still is shown by that instance alone: elsewhere these gauges are absent.
  Durations of actions are by the wall time of their entries. Labels hold no words of people and no names of people; those
  are in the audit log.
- `tenant` is written only where the log states an owner. A label with an empty value is not written.
- Series are about whole models. Segments are in `GET /api/v1/findings`.
- Series whose labels come from the log have a limit on each page. What is beyond is left out, those without a bound
  first, and `plimsoll_metric_series_dropped_total` counts it.
- A group of a protected attribute with fewer than 11 rows in a window is not shown.
- `job` and `instance` belong to the scraper.
";

/// The document, as it should be in `docs/metrics.md`.
pub fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    let mut section = "";
    for id in Id::ALL {
        let spec = id.spec();
        if spec.section != section {
            section = spec.section;
            let _ = writeln!(out, "\n## {section}\n");
            let _ = writeln!(out, "| metric | kind | unit | labels | series at most | help |");
            let _ = writeln!(out, "|---|---|---|---|---|---|");
        }
        let unit = if spec.unit == Unit::None { "" } else { spec.unit.name() };
        let series = match spec.series {
            Series::One | Series::Fixed(_) => spec.series.limit().to_string(),
            growing => format!("{} ({})", growing.limit(), growing.name()),
        };
        let labels: Vec<String> = spec.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            out,
            "| `{}` | {} | {unit} | {} | {series} | {} |",
            spec.name,
            spec.kind.name(),
            labels.join(", "),
            spec.help()
        );
    }
    out
}
