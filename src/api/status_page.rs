//! The status page: one self-contained document that a person opens to see which models are
//! watched, which have left their bounds, and what was done. No script and no external file, so
//! that it works on a closed network and under a strict content policy.

mod exchange;
mod safety;

use std::cmp::Reverse;
use std::fmt::{Display, Write as _};

use super::readiness::Reason;
use crate::check::sequential::Slot;
use crate::domain::{Bound, EventTime, Finding, Segment, Sequential, Verdict};
use crate::engine::view::{PolicyState, View};
use crate::policy::Decide;
use crate::telemetry::current;

/// Findings in the table of the worst.
const WORST: usize = 15;
/// Slots in the table of evidence.
const SLOTS: usize = 15;
/// Decisions and actions shown.
const RECENT: usize = 10;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--dim:#777;--bad:#c62828;--warn:#b26a00;--good:#2e7d32}\
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:78rem;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:1.8rem 0 .4rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}td>.dim{white-space:normal}\
th{font-weight:600;color:var(--dim);font-size:.85rem}.n{text-align:right;font-variant-numeric:tabular-nums}\
.dim{color:var(--dim)}.bad{color:var(--bad);font-weight:600}.warn{color:var(--warn);font-weight:600}.good{color:var(--good)}\
.facts{display:flex;flex-wrap:wrap;gap:.4rem 2rem;margin:.8rem 0}.facts b{display:block;font-size:1.15rem}\
.scroll{overflow-x:auto}.bar{display:inline-block;width:7rem;height:.7rem;border:1px solid var(--line);vertical-align:middle}\
.bar i{display:block;height:100%;background:var(--warn)}.bar .shadow{background:var(--line)}.bar .full{background:var(--bad)}";

/// Text made safe between tags and in quoted attributes.
struct Safe<T>(T);

impl<T: Display> Display for Safe<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.to_string().chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// What the page says of the instance that shows it.
pub(super) struct About<'a> {
    pub(super) version: &'a str,
    /// Its name; none where nothing joins it to others.
    pub(super) instance: Option<String>,
    pub(super) roles: Vec<String>,
    /// Whether it acts or stands by; none where acting is not its role.
    pub(super) owns_decisions: Option<bool>,
}

/// The whole document.
/// `decides` says by what a policy of a model decides, where it is known.
pub(super) fn render(
    view: &View,
    about: &About<'_>,
    unmet: &[Reason],
    decides: &dyn Fn(&str, &str) -> Option<Decide>,
) -> String {
    let mut out = String::with_capacity(16 * 1024);
    out.push_str("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str(
        "<meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"2\">",
    );
    put(&mut out, format_args!("<title>plimsoll</title><style>{STYLE}</style></head><body>"));
    put(&mut out, format_args!("<h1>plimsoll <span class=\"dim\">{}</span></h1>", Safe(about.version)));
    exchange::instance(&mut out, about, view);
    for Reason { condition, reason } in unmet {
        let (condition, reason) = (Safe(condition), Safe(reason));
        put(&mut out, format_args!("<p class=\"warn\">Not ready: {condition}: {reason}</p>"));
    }
    safety::urgent(&mut out, view);
    facts(&mut out, view);
    models(&mut out, view, decides);
    evidence(&mut out, view);
    worst_findings(&mut out, view);
    decisions(&mut out, view);
    actions(&mut out, view);
    safety::ledger(&mut out, view);
    sources(&mut out, view);
    exchange::partitions(&mut out, view);
    out.push_str(
        "<p class=\"dim\">This page renews itself every two seconds. <a href=\"/metrics\">/metrics</a> \
         <a href=\"/readyz\">/readyz</a> <a href=\"/api/v1/status\">/api/v1/status</a> \
         <a href=\"/api/v1/exchange\">/api/v1/exchange</a> \
         <a href=\"/api/v1/models\">/api/v1/models</a> \
         <a href=\"/api/v1/findings?latest=true\">/api/v1/findings</a> \
         <a href=\"/api/v1/decisions\">/api/v1/decisions</a> \
         <a href=\"/api/v1/actions\">/api/v1/actions</a> \
         <a href=\"/api/v1/safety\">/api/v1/safety</a> \
         <a href=\"/api/v1/commands\">/api/v1/commands</a></p></body></html>\n",
    );
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

fn time(time: Option<EventTime>) -> String {
    time.map_or_else(|| "none yet".to_owned(), |time| time.to_string())
}

/// A count with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn table(out: &mut String, title: &str, empty: &str, heads: &[&str], rows: &[Vec<String>]) {
    put(out, format_args!("<h2>{title}</h2>"));
    if rows.is_empty() {
        put(out, format_args!("<p class=\"dim\">{empty}</p>"));
        return;
    }
    out.push_str("<div class=\"scroll\"><table><tr>");
    for head in heads {
        put(out, format_args!("<th>{head}</th>"));
    }
    out.push_str("</tr>");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            put(out, format_args!("<td>{cell}</td>"));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
}

fn facts(out: &mut String, view: &View) {
    let sum = |of: fn(&crate::domain::Accounting) -> u64| view.accounting.values().map(of).sum::<u64>();
    let open = view
        .models
        .iter()
        .flat_map(|model| &model.policies)
        .filter(|policy| policy.state == PolicyState::Violated)
        .count();
    let lag: i64 = view.sources.iter().filter_map(|source| source.lag).sum();
    let class = if open > 0 { "bad" } else { "good" };
    out.push_str("<div class=\"facts\">");
    put(out, format_args!("<div><b class=\"{class}\">{open}</b>open incidents</div>"));
    for (value, name) in [
        (count(sum(|counts| counts.records)), "records"),
        (count(sum(|counts| counts.used)), "used"),
        (count(sum(|counts| counts.late)), "late"),
        (count(sum(|counts| counts.rejected)), "rejected"),
        (count(u64::try_from(lag).unwrap_or(0)), "behind"),
        (count(view.panes as u64), "panes"),
        (time(view.watermark), "watermark (event time)"),
    ] {
        put(out, format_args!("<div><b>{value}</b>{name}</div>"));
    }
    out.push_str("</div>");
}

fn state_badge(state: PolicyState) -> &'static str {
    match state {
        PolicyState::Unknown => "<span class=\"dim\">unknown</span>",
        PolicyState::Ok => "<span class=\"good\">ok</span>",
        PolicyState::Warn => "<span class=\"warn\">warn</span>",
        PolicyState::Violated => "<span class=\"bad\">violated</span>",
    }
}

fn models(out: &mut String, view: &View, decides: &dyn Fn(&str, &str) -> Option<Decide>) {
    let rows: Vec<Vec<String>> = view
        .models
        .iter()
        .filter(|model| model.key.segment == Segment::All)
        .map(|model| {
            let mut policies = String::new();
            for policy in &model.policies {
                let outside = match decides(model.key.model.as_str(), &policy.policy) {
                    Some(Decide::Window) => " decides by windows: outside the false-alarm budget",
                    Some(Decide::Sequential) | None => "",
                };
                let since = policy.since.map(|since| format!(" since {since}")).unwrap_or_default();
                put(
                    &mut policies,
                    format_args!(
                        "<div>{}: {}<span class=\"dim\">{since}{outside}</span></div>",
                        Safe(&policy.policy),
                        state_badge(policy.state)
                    ),
                );
            }
            let profile = model.key.profile.as_ref().map_or("none", |hash| hash.as_str());
            let short: String = profile.trim_start_matches("sha256:").chars().take(12).collect();
            vec![
                Safe(&model.key).to_string(),
                model.task.name().to_owned(),
                count(model.rows),
                model.newest.to_string(),
                time(model.evaluated_until),
                Safe(short).to_string(),
                policies,
            ]
        })
        .collect();
    let heads = ["model", "task", "rows", "newest row", "evaluated until", "reference", "policies"];
    table(out, "Models", "No model has been seen yet.", &heads, &rows);
}

/// How far beyond its bound a finding is, as a share of the bound; for ordering only.
fn badness(finding: &Finding) -> f64 {
    let (Some(bound), Some(value)) = (finding.bound, finding.value) else { return 0.0 };
    let scale = match bound {
        Bound::AtMost(limit) | Bound::AtLeast(limit) => limit.abs(),
        Bound::Between(low, high) => low.abs().max(high.abs()),
    };
    bound.excess(value) / scale.max(1e-9)
}

fn verdict_rank(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Breach) => 3,
        Some(Verdict::Insufficient) => 2,
        Some(Verdict::Pass) => 1,
        None => 0,
    }
}

/// How much of the way to its alarm a slot has come, 0 to 1; an alarm since the last window is all of it.
fn way(sequential: &Sequential) -> f64 {
    match (&sequential.evidence, sequential.log_e) {
        (Some(_), _) => 1.0,
        (None, Some(log_e)) if sequential.log_threshold > 0.0 => {
            (log_e / sequential.log_threshold).clamp(0.0, 1.0)
        }
        (None, _) => 0.0,
    }
}

/// What policies that decide sequentially go by: each slot's evidence against its threshold, those
/// that may act first.
fn evidence(out: &mut String, view: &View) {
    let current = current(view);
    let slots = current.iter().filter_map(|finding| Some((finding, finding.sequential.as_ref()?)));
    let mut slots: Vec<_> = slots.collect();
    slots.sort_by(|(_, a), (_, b)| {
        let acts = a.shadow.is_some().cmp(&b.shadow.is_some());
        acts.then(way(b).total_cmp(&way(a)))
    });
    let shown = slots.len().min(SLOTS);
    let shadows = slots.iter().filter(|(_, sequential)| sequential.shadow.is_some()).count();
    let rows: Vec<Vec<String>> = slots[..shown]
        .iter()
        .map(|(finding, sequential)| {
            let why = |text: Option<&String>| {
                text.map_or_else(String::new, |text| format!("<div class=\"dim\">{}</div>", Safe(text)))
            };
            let says = match (&sequential.shadow, sequential.verdict) {
                (Some(shadow), _) => {
                    format!("<span class=\"dim\">in shadow, never acts</span>{}", why(Some(shadow)))
                }
                (None, Verdict::Breach) => "<span class=\"bad\">alarm</span>".to_owned(),
                (None, Verdict::Pass) => "<span class=\"good\">pass</span>".to_owned(),
                (None, Verdict::Insufficient) => {
                    format!("<span class=\"dim\">insufficient</span>{}", why(sequential.reason.as_ref()))
                }
            };
            let part = 100.0 * way(sequential);
            let class = match (&sequential.shadow, &sequential.evidence) {
                (Some(_), _) => "shadow",
                (None, Some(_)) => "full",
                (None, None) => "",
            };
            let alarm = sequential.evidence.as_deref();
            let log_e = alarm.map_or(sequential.log_e, |alarm| alarm.log_e_after);
            let log_e = log_e.map_or_else(|| "none".to_owned(), |log_e| format!("{log_e:.2}"));
            let segment = match &finding.segment {
                Segment::All => String::new(),
                segment => format!(" [{}]", Safe(segment)),
            };
            vec![
                says,
                format!("{}@{}{segment}", Safe(&finding.model), Safe(&finding.version)),
                Safe(&finding.check).to_string(),
                Safe(Slot::key_of(finding.metric, &finding.scope)).to_string(),
                format!("<span class=\"bar\"><i class=\"{class}\" style=\"width:{part:.0}%\"></i></span>"),
                format!("{log_e} of {:.2}", sequential.log_threshold),
                format!("{:.4} in {} d", sequential.share, sequential.per_seconds / 86_400),
                count(sequential.panes),
            ]
        })
        .collect();
    let heads = [
        "says",
        "model",
        "check",
        "of",
        "evidence",
        "ln e of its threshold",
        "false alarms at most",
        "panes",
    ];
    let empty = "No policy decides sequentially, so nothing here has a stated error rate.";
    table(out, "Evidence", empty, &heads, &rows);
    if slots.len() > shown || shadows > 0 {
        put(
            out,
            format_args!(
                "<p class=\"dim\">{} of {} slots, {shadows} of them in shadow; <code>plimsoll explain</code> tells \
                 each alarm in words.</p>",
                shown,
                slots.len()
            ),
        );
    }
}

fn worst_findings(out: &mut String, view: &View) {
    let mut findings = current(view);
    findings.sort_by(|a, b| {
        let rank = Reverse(verdict_rank(a.verdict)).cmp(&Reverse(verdict_rank(b.verdict)));
        rank.then(badness(b).total_cmp(&badness(a)))
    });
    let rows: Vec<Vec<String>> = findings
        .into_iter()
        .take(WORST)
        .map(|finding| {
            let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.4}"));
            let interval = finding.interval.map_or_else(String::new, |[low, high]| {
                format!(" <span class=\"dim\">[{low:.4}, {high:.4}]</span>")
            });
            let verdict = match finding.verdict {
                Some(Verdict::Breach) => "<span class=\"bad\">breach</span>",
                Some(Verdict::Insufficient) => "<span class=\"warn\">insufficient</span>",
                Some(Verdict::Pass) => "<span class=\"good\">pass</span>",
                None => "<span class=\"dim\">shown only</span>",
            };
            let reason = finding
                .reason
                .as_deref()
                .map_or_else(String::new, |reason| format!("<div class=\"dim\">{}</div>", Safe(reason)));
            let segment = match &finding.segment {
                Segment::All => String::new(),
                segment => format!(" [{}]", Safe(segment)),
            };
            vec![
                format!("{verdict}{reason}"),
                format!("{}@{}{segment}", Safe(&finding.model), Safe(&finding.version)),
                Safe(&finding.check).to_string(),
                finding.metric.name().to_owned(),
                Safe(&finding.scope).to_string(),
                format!("{}{interval}", number(finding.value)),
                finding.bound.map_or_else(String::new, |bound| Safe(bound).to_string()),
                number(finding.expected),
                count(finding.n),
                finding.window.end.to_string(),
            ]
        })
        .collect();
    let heads = [
        "verdict",
        "model",
        "check",
        "metric",
        "of",
        "value and interval",
        "allowed",
        "expected",
        "rows",
        "window end",
    ];
    table(
        out,
        "Worst windows (outside the false-alarm budget)",
        "No window has been evaluated yet.",
        &heads,
        &rows,
    );
}

fn decisions(out: &mut String, view: &View) {
    let rows: Vec<Vec<String>> = view
        .decisions
        .iter()
        .rev()
        .take(RECENT)
        .map(|decision| {
            vec![
                decision.at.to_string(),
                decision.kind.name().to_owned(),
                Safe(&decision.policy).to_string(),
                Safe(&decision.key).to_string(),
                Safe(decision.actions.join(", ")).to_string(),
                format!("<code>{}</code>", Safe(&decision.id)),
            ]
        })
        .collect();
    let heads = ["window end", "decision", "policy", "model", "asks for", "id"];
    table(out, "Decisions", "Nothing has been decided yet.", &heads, &rows);
}

fn actions(out: &mut String, view: &View) {
    let rows: Vec<Vec<String>> = view
        .actions
        .iter()
        .rev()
        .take(RECENT)
        .map(|action| {
            let to = action.to_version.as_deref().map_or_else(String::new, |to| format!(" to {}", Safe(to)));
            vec![
                EventTime::from_millis(action.changed_at).to_string(),
                format!("{}{to}", Safe(&action.action)),
                Safe(&action.state).to_string(),
                Safe(&action.key).to_string(),
                Safe(action.detail.as_deref().unwrap_or("")).to_string(),
            ]
        })
        .collect();
    let heads = ["changed", "action", "state", "model", "detail"];
    table(out, "Actions", "Nothing has been done yet.", &heads, &rows);
}

fn sources(out: &mut String, view: &View) {
    let rows: Vec<Vec<String>> = view
        .sources
        .iter()
        .map(|source| {
            vec![
                Safe(&source.partition).to_string(),
                source.position.to_string(),
                source.lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string()),
                time(source.newest),
                time(source.watermark),
                if source.idle { "idle" } else { "reading" }.to_owned(),
            ]
        })
        .collect();
    let heads = ["partition", "next offset", "behind", "newest event time", "watermark", ""];
    table(out, "Sources", "No partition has been assigned yet.", &heads, &rows);
}
