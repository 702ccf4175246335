//! Which of the two text formats a scraper gets, and the older one made from the newer.
//!
//! The encoder writes OpenMetrics 1.0 only. The Prometheus text format 0.0.4 differs in a few
//! lines, so it is written by a rewrite line by line: metadata carries the full sample name
//! (`_total`, `_info`), an info is a gauge, and `# UNIT` and `# EOF` do not exist. Samples are the
//! same in both, because pages hold no exemplars and no `_created` samples.

use std::fmt::Write as _;

/// A text format for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Prometheus,
}

impl Format {
    /// Value of the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The format that an `Accept` header prefers (RFC 9110, section 12.5.1). The older one where
    /// it says nothing, so that a person with a browser or curl can read the page.
    pub fn accepted(accept: Option<&str>) -> Self {
        let mut open_metrics = 0.0_f32;
        let mut plain = 0.0_f32;
        for range in accept.unwrap_or("").split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or("").to_ascii_lowercase();
            let (mut quality, mut version) = (1.0_f32, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            match media.as_str() {
                "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                    open_metrics = open_metrics.max(quality);
                }
                "text/plain" | "text/*" | "*/*" => plain = plain.max(quality),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }
}

/// Rewrites an OpenMetrics page as Prometheus text 0.0.4.
pub(super) fn to_prometheus(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // The name in it depends on the type, which follows.
            help = rest.split_once(' ').map(|(_, text)| text);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some(help) = help.take() {
                let _ = writeln!(out, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewrites_metadata_and_keeps_samples() {
        let page = "# HELP a Count of a\n# TYPE a counter\na_total{x=\"# HELP\"} 1\n\
                    # HELP b_seconds B\n# TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds 0.5\n\
                    # HELP c C\n# TYPE c info\nc_info{v=\"1\"} 1\n# EOF\n";
        assert_eq!(
            to_prometheus(page),
            "# HELP a_total Count of a\n# TYPE a_total counter\na_total{x=\"# HELP\"} 1\n\
             # HELP b_seconds B\n# TYPE b_seconds gauge\nb_seconds 0.5\n\
             # HELP c_info C\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n"
        );
    }

    #[test]
    fn gives_each_scraper_the_format_it_prefers() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                            version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, format) in [
            (Some(prometheus_2), Format::OpenMetrics),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (Some(browser), Format::Prometheus),
            (Some("text/plain;version=0.0.4"), Format::Prometheus),
            (Some("application/openmetrics-text;version=1.0.0;q=0.2, text/plain;q=0.9"), Format::Prometheus),
            (Some("application/openmetrics-text;q=0"), Format::Prometheus),
            (Some("application/openmetrics-text;version=0.0.1"), Format::Prometheus),
            (Some("*/*"), Format::Prometheus),
            (Some(""), Format::Prometheus),
            (None, Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }
}
