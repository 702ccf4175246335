//! The sections of the screen, from top to bottom. Each is given its area and fills it; what does
//! not fit is counted in the section's title, never silently left out.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table};

use super::theme::Theme;
use crate::app::demo::status::DemoStatus;
use crate::app::demo::text;
use crate::app::demo::worst::worst;
use crate::domain::{DecisionKind, Finding};
use crate::engine::view::{ModelView, View};

/// Widths of the columns of a check beside its name.
const VERSION: u16 = 4;
const VALUE: u16 = 6;
const INTERVAL: u16 = 15;
const BOUND: u16 = 7;
const ROWS: u16 = 5;
const VERDICT: u16 = 12;
/// The narrowest column of names that still tells checks apart.
const NAME: u16 = 16;

/// A rule with a name on it.
fn section(title: String, theme: Theme) -> Block<'static> {
    Block::new().borders(Borders::TOP).border_style(theme.quiet()).title(Span::styled(title, theme.title()))
}

/// A title, and how much of the section is out of sight.
fn title(name: &str, all: usize, seen: usize) -> String {
    match all.saturating_sub(seen) {
        0 => format!(" {name} "),
        hidden => format!(" {name} ({hidden} more) "),
    }
}

/// Rows that a section of this height has below its rule.
const fn room(area: Rect) -> usize {
    area.height.saturating_sub(1) as usize
}

pub(super) fn header(view: &View, status: &DemoStatus, width: u16, theme: Theme) -> Paragraph<'static> {
    let (name, phase) = (" plimsoll demo  ", status.phase.to_string());
    let end = match status.ends_in {
        Some(left) => format!("ends in {} ", text::span(left)),
        None => format!("running {} ", text::span(status.elapsed)),
    };
    let used = name.len() + phase.chars().count() + end.len();
    let gap = " ".repeat((width as usize).saturating_sub(used).max(1));
    let story = (status.event_time.as_millis() - status.start.as_millis()).max(0) as u64;
    let total = view.accounting.values().fold(crate::domain::Accounting::default(), |mut sum, one| {
        sum += *one;
        sum
    });
    Paragraph::new(vec![
        Line::from(vec![
            Span::styled(name, theme.title()),
            Span::styled(phase, Style::new().bold()),
            Span::raw(gap),
            Span::styled(end, theme.quiet()),
        ]),
        Line::raw(format!(
            " event time {} ({} in), {:.0}x the clock, {} records/s",
            text::clock(status.event_time),
            text::span(std::time::Duration::from_millis(story)),
            status.speed,
            text::thousands(status.records_per_second.round().max(0.0) as u64),
        )),
        Line::raw(format!(
            " records in {} = used {} + late {} + rejected {}",
            text::thousands(total.records),
            text::thousands(total.used),
            text::thousands(total.late),
            text::thousands(total.rejected),
        )),
        Line::raw(sources(view)),
    ])
}

fn sources(view: &View) -> String {
    let lag: i64 = view.sources.iter().filter_map(|source| source.lag).sum();
    let idle = view.sources.iter().filter(|source| source.idle).count();
    let worst = view.sources.iter().max_by_key(|source| (source.lag, std::cmp::Reverse(&source.partition)));
    let watermark = view.watermark.map_or_else(|| "none".to_owned(), text::clock);
    let mut line = format!(" {} partitions, lag {}", view.sources.len(), text::thousands(lag.max(0) as u64));
    if let Some(source) = worst.filter(|source| source.lag.is_some_and(|lag| lag > 0)) {
        line += &format!(" (most in {})", source.partition);
    }
    if idle > 0 {
        line += &format!(", {idle} idle");
    }
    line + &format!(", watermark {watermark}, {} panes", text::thousands(view.panes as u64))
}

pub(super) fn models(view: &View, area: Rect, theme: Theme) -> Paragraph<'static> {
    // The newest versions are at the end, and they are the ones that can still go wrong.
    let first = view.models.len().saturating_sub(room(area));
    let rows: Vec<Line<'_>> = view.models[first..].iter().map(|model| model_row(model, theme)).collect();
    Paragraph::new(rows).block(section(title("models", view.models.len(), room(area)), theme))
}

fn model_row(model: &ModelView, theme: Theme) -> Line<'static> {
    let mut row = vec![Span::raw(format!(
        " {:<12}{:>6} rows",
        text::cut(&model.key.to_string(), 12),
        text::compact(model.rows)
    ))];
    for policy in &model.policies {
        let name = format!("{:?}", policy.state).to_lowercase();
        let since = policy.since.map(|since| format!(" {}", text::clock(since))).unwrap_or_default();
        row.push(Span::raw(format!("  {} ", policy.policy)));
        row.push(Span::styled(name + &since, theme.state(policy.state)));
    }
    Line::from(row)
}

pub(super) fn checks(frame: &mut Frame<'_>, view: &View, area: Rect, theme: Theme) {
    let findings = worst(&view.latest);
    let room = room(area).saturating_sub(1);
    let fixed = VERSION + VALUE + INTERVAL + BOUND + ROWS + VERDICT + 7;
    let name = area.width.saturating_sub(fixed).max(NAME);
    let rows = findings.iter().take(room).map(|finding| check_row(finding, name, theme));
    let right = |text: &'static str| Cell::from(Line::raw(text).right_aligned());
    let table =
        Table::new(rows, [VERSION, name, VALUE, INTERVAL, BOUND, ROWS, VERDICT].map(Constraint::Length))
            .header(
                Row::new([
                    Cell::from(" of"),
                    Cell::from("check"),
                    right("value"),
                    right("interval"),
                    right("bound"),
                    right("n"),
                    Cell::from("verdict"),
                ])
                .style(theme.quiet()),
            )
            .column_spacing(1)
            .block(section(title("worst checks", findings.len(), room), theme));
    frame.render_widget(table, area);
}

fn check_row(finding: &Finding, name: u16, theme: Theme) -> Row<'static> {
    let right = |text: String| Cell::from(Line::raw(text).right_aligned());
    Row::new([
        Cell::from(format!(" {}", finding.version)),
        Cell::from(text::cut(&text::subject(finding), name as usize)),
        right(finding.value.map_or_else(|| "-".to_owned(), text::value)),
        right(text::cut(&text::interval(finding.interval), INTERVAL as usize)),
        right(finding.bound.map(|bound| bound.to_string()).unwrap_or_default()),
        right(text::compact(finding.n)),
        Cell::from(Span::styled(text::verdict(finding.verdict), theme.verdict(finding.verdict))),
    ])
}

pub(super) fn decisions(view: &View, area: Rect, theme: Theme) -> Paragraph<'static> {
    let width = area.width as usize;
    let rows: Vec<Line<'_>> = view
        .decisions
        .iter()
        .rev()
        .take(room(area))
        .map(|decision| {
            let style = match decision.kind {
                DecisionKind::Violated => theme.bad(),
                DecisionKind::Cleared => theme.good(),
                DecisionKind::Qualified | DecisionKind::Withdrawn => Style::new(),
            };
            let head = format!(" {} ", text::clock(decision.at));
            let what = text::decision(decision);
            let why = match (decision.kind, text::telling(decision)) {
                (DecisionKind::Qualified, _) | (_, None) => String::new(),
                (_, Some(finding)) => format!("  {}", text::finding(finding)),
            };
            let left = width.saturating_sub(head.chars().count() + what.chars().count());
            Line::from(vec![
                Span::raw(head),
                Span::styled(what, style),
                Span::styled(text::cut(&why, left), theme.quiet()),
            ])
        })
        .collect();
    let open = text::open_incidents(view).len();
    let name = match open {
        0 => "decisions, no open incident".to_owned(),
        1 => "decisions, 1 open incident".to_owned(),
        open => format!("decisions, {open} open incidents"),
    };
    Paragraph::new(rows).block(section(title(&name, view.decisions.len(), room(area)), theme))
}

pub(super) fn actions(view: &View, area: Rect, theme: Theme) -> Paragraph<'static> {
    let rows: Vec<Line<'_>> = view
        .actions
        .iter()
        .rev()
        .take(room(area))
        .map(|action| Line::raw(text::cut(&format!(" {}", text::action(action)), area.width as usize)))
        .collect();
    let rows = if rows.is_empty() { vec![Line::styled(" none yet", theme.quiet())] } else { rows };
    Paragraph::new(rows).block(section(title("actions", view.actions.len(), room(area)), theme))
}

pub(super) fn footer(status: &DemoStatus, theme: Theme) -> Paragraph<'static> {
    Paragraph::new(vec![
        Line::raw(format!(" metrics {}  API {}", status.metrics_url, status.api_url)),
        Line::styled(" q or Ctrl-C quits", theme.quiet()),
    ])
}
