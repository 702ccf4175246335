//! The picture as text, on ratatui's test backend.

use ratatui::backend::TestBackend;
use ratatui::style::Color;
use ratatui::{Terminal as Any, buffer::Buffer};

use super::super::fixtures::{decision, finding, status, view};
use super::*;
use crate::domain::DecisionKind;

fn picture(width: u16, height: u16, view: &View, status: &DemoStatus) -> Buffer {
    let mut terminal = Any::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, status)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = buffer.area.width as usize;
    buffer
        .content
        .chunks(width)
        .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned())
        .collect()
}

#[test]
fn the_smallest_usual_terminal_shows_everything() {
    let shown = lines(&picture(80, 24, &view(), &status()));
    let text = shown.join("\n");
    for expected in [
        "plimsoll demo  rollout: v2 serves 50 % of applicants",
        "ends in 24s",
        "event time 10:18:12 (18m12s in), 30x the clock, 29,980 records/s",
        "records in 1,080,000 = used 1,079,000 + late 460 + rejected 540",
        "4 partitions, lag 60 (most in inference/3), watermark 10:18:00, 48 panes",
        "credit@v1     1.1M rows  fair-lending ok  upstream-drift ok",
        "credit@v2    29.0k rows  fair-lending violated 10:17:00  upstream-drift ok",
        "worst checks",
        "approval-ratio sex:M/F",
        "0.602   [0.592 0.612]  >= 0.8  120k BREACH",
        "decisions, 1 open incident (1 more)",
        "10:18:00 violated: fair-lending on credit@v2  approval-ratio 0.602",
        "10:14:00 cleared: upstream-drift on credit@v1",
        "roll-back of credit@v2 to v1: applied (dry run)",
        "metrics http://127.0.0.1:39464/metrics  API http://127.0.0.1:39464/api/v1",
        "q or Ctrl-C quits",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing in\n{text}");
    }
}

#[test]
fn breaches_stand_above_doubts_and_doubts_above_passes() {
    let shown = lines(&picture(80, 24, &view(), &status()));
    let row = |needle: &str| shown.iter().position(|line| line.contains(needle)).unwrap();
    assert!(row("BREACH") < row("insufficient"));
    assert!(row("insufficient") < row("pass"));
}

#[test]
fn rows_that_do_not_fit_are_counted() {
    let mut view = view();
    for number in 0..40 {
        let check = format!("check-{number:02}");
        view.latest.push(std::sync::Arc::new(finding(&check, "v1", 0.01, "<= 0.1")));
    }
    let small = lines(&picture(80, 24, &view, &status())).join("\n");
    assert!(small.contains("worst checks (39 more)"), "{small}");
    let large = lines(&picture(140, 80, &view, &status())).join("\n");
    assert!(large.contains("check-39") && !large.contains("worst checks ("), "{large}");
}

#[test]
fn sections_stay_where_they_are_while_the_daemon_learns() {
    let place = |view: &View| {
        let shown = lines(&picture(100, 30, view, &status()));
        ["models", "worst checks", "decisions", "actions", "q or Ctrl-C"]
            .map(|name| shown.iter().position(|line| line.contains(name)).unwrap())
    };
    let mut grown = view();
    for minute in 20..30 {
        let more = decision(DecisionKind::Violated, "fair-lending", "v2", minute);
        grown.decisions.push(std::sync::Arc::new(more));
    }
    assert_eq!(place(&View::default()), place(&grown));
}

#[test]
fn without_colour_no_cell_has_one_and_the_words_are_the_same() {
    let plain = DemoStatus { colour: false, ..status() };
    let (with, without) = (picture(80, 24, &view(), &status()), picture(80, 24, &view(), &plain));
    assert_eq!(lines(&with), lines(&without));
    assert!(with.content.iter().any(|cell| cell.fg == Color::Red));
    assert!(without.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}

#[test]
fn no_size_is_too_small_and_an_empty_daemon_can_be_drawn() {
    for (width, height) in [(1, 1), (10, 3), (40, 12), (79, 23), (300, 100)] {
        for view in [View::default(), view()] {
            let shown = lines(&picture(width, height, &view, &status()));
            assert_eq!(shown.len(), height as usize);
        }
    }
}

#[test]
fn a_demo_without_an_end_says_how_long_it_has_run() {
    let endless = DemoStatus { ends_in: None, ..status() };
    let text = lines(&picture(80, 24, &view(), &endless)).join("\n");
    assert!(text.contains("running 36s") && !text.contains("ends in"), "{text}");
}
