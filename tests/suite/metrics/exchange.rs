//! What the metrics page says of what joins instances: ownership, transactions, losses, faults, and
//! totals that are right when they are summed over instances.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plimsoll::app::compile::{limits, topics};
use plimsoll::app::pipeline::{Pipeline, models};
use plimsoll::config;
use plimsoll::domain::{Accounting, EventTime, ModelKey, Segment, SourcePartition};
use plimsoll::engine::evaluator::{Evaluator, Fault, FaultCounts, TurnedLate};
use plimsoll::engine::message::{Message, Offsets, PaneDelta, Progress, SourceProgress};
use plimsoll::engine::model::ModelSpec;
use plimsoll::engine::view::{ExchangeView, View};
use plimsoll::ingest::source::{Assigned, RawRecord, SourceEvent};
use plimsoll::sketch::Summary;
use plimsoll::telemetry::catalogue::Id;
use plimsoll::telemetry::{Format, Telemetry};

use super::{END, sample, view};

/// Wall time, and the first event time: a multiple of every window's slide.
const NOW: i64 = 1_800_000_000_000;
const START: i64 = 1_799_999_400_000;

const CONFIG: &str = r#"
topics:
  - {name: t, model: /m, allowed_lateness: 5s, idle_after: 30s}
models:
  - name: goes
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    features: [{name: x, from: /x, type: numeric}]
    pane: 1s
    checks: [{name: nulls, metric: null_rate, of: features, window: 20s, slide: 10s, bound: "<= 0.5"}]
  - name: stays
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    features: [{name: x, from: /x, type: numeric}]
    pane: 1s
    checks: [{name: nulls, metric: null_rate, of: features, window: 20s, slide: 10s, bound: "<= 0.5"}]
"#;

fn held(partition: i32, position: i64) -> ExchangeView {
    let counts = Accounting { records: 100, used: 87, late: 8, rejected: 5, rows: 95, late_rows: 8, lost: 4 };
    ExchangeView {
        partition,
        position,
        watermark: Some(EventTime::from_millis(END)),
        holding: Vec::new(),
        accounting: [(Arc::from("inference"), counts)].into(),
        turned_late: BTreeMap::new(),
        faults: FaultCounts::default(),
        wall: END + 2_500,
    }
}

/// An instance with all roles that owns two partitions of the exchange, and the decisions.
pub(in super::super) fn telemetry() -> Telemetry {
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.declare_topics(["inference"]);
    telemetry.declare_roles(["observe", "evaluate", "act"]);
    telemetry.declare_exchange("plimsoll-0", 8, ["plimsoll.partials", "plimsoll.decisions"]);
    telemetry.acting(true, 0);
    let mut second = held(1, 900);
    second.holding = vec![SourcePartition::new("inference", 7)];
    second.turned_late = [("inference".into(), TurnedLate { records: 3, rows: 5 })].into();
    second.faults = FaultCounts { gaps: 1, gap_offsets: 12, ..FaultCounts::default() };
    telemetry.publish(Arc::new(View { exchange: vec![held(0, 1_000), second], ..view() }));
    telemetry
}

fn page(telemetry: &Telemetry) -> String {
    telemetry.page(Format::Prometheus).unwrap()
}

#[test]
fn what_an_instance_owns_and_how_far_it_has_come_is_shown() {
    let page = page(&telemetry());
    for (series, value) in [
        (r#"plimsoll_role_info{role="evaluate"}"#, 1.0),
        (r#"plimsoll_owner{role="evaluate",partition="0"}"#, 1.0),
        (r#"plimsoll_owner{role="evaluate",partition="1"}"#, 1.0),
        (r#"plimsoll_owner{role="act",partition="0"}"#, 1.0),
        ("plimsoll_exchange_partitions", 8.0),
        (r#"plimsoll_exchange_position{partition="1"}"#, 900.0),
        (r#"plimsoll_exchange_watermark_timestamp_seconds{partition="1"}"#, 1_795_341_600.0),
        (r#"plimsoll_exchange_wall_timestamp_seconds{partition="1"}"#, 1_795_341_602.5),
        (r#"plimsoll_exchange_holding_partitions{partition="0"}"#, 0.0),
        (r#"plimsoll_exchange_holding_partitions{partition="1"}"#, 1.0),
    ] {
        assert_eq!(sample(&page, series), value, "{series}");
    }
    assert!(!page.contains("plimsoll-0"), "the scraper names the instance");
}

#[test]
fn an_actor_that_stands_by_shows_so_and_an_instance_that_never_acts_shows_nothing() {
    let standing_by = telemetry();
    standing_by.acting(false, 2);
    let shown = page(&standing_by);
    assert_eq!(sample(&shown, r#"plimsoll_owner{role="act",partition="0"}"#), 0.0);
    assert_eq!(sample(&shown, "plimsoll_unreadable_decisions_total"), 2.0);
    let observer = Telemetry::new("0.1.0", "abc1234");
    observer.declare_roles(["observe"]);
    observer.acting(false, 0);
    assert!(!page(&observer).contains("plimsoll_owner{"));
    assert_eq!((observer.owns_decisions(), standing_by.owns_decisions()), (None, Some(false)));
}

#[test]
fn transactions_are_counted_by_role_and_outcome_and_only_a_commit_moves_its_time() {
    let telemetry = telemetry();
    let observe = r#"{role="observe",outcome="#;
    assert_eq!(
        sample(&page(&telemetry), &format!(r#"plimsoll_transactions_total{observe}"aborted"}}"#)),
        0.0
    );
    telemetry.transaction("observe", true, Duration::from_millis(30), 1_795_341_600.0);
    telemetry.transaction("observe", false, Duration::from_secs(3), 1_795_341_700.0);
    telemetry.transaction("evaluate", true, Duration::from_millis(30), 1_795_341_601.0);
    telemetry.evaluated(1_795_341_601.0);
    telemetry.produced("plimsoll.partials", 16, 4_096);
    let page = page(&telemetry);
    for (series, value) in [
        (format!(r#"plimsoll_transactions_total{observe}"committed"}}"#), 1.0),
        (format!(r#"plimsoll_transactions_total{observe}"aborted"}}"#), 1.0),
        (r#"plimsoll_transaction_duration_seconds_bucket{le="0.025",role="observe"}"#.to_owned(), 0.0),
        (r#"plimsoll_transaction_duration_seconds_bucket{le="0.05",role="observe"}"#.to_owned(), 1.0),
        (r#"plimsoll_transaction_duration_seconds_count{role="observe"}"#.to_owned(), 2.0),
        (r#"plimsoll_transaction_duration_seconds_count{role="act"}"#.to_owned(), 0.0),
        (r#"plimsoll_transaction_last_commit_timestamp_seconds{role="observe"}"#.to_owned(), 1_795_341_600.0),
        ("plimsoll_last_evaluation_timestamp_seconds".to_owned(), 1_795_341_601.0),
        (r#"plimsoll_produced_messages_total{topic="plimsoll.partials"}"#.to_owned(), 16.0),
        (r#"plimsoll_produced_bytes_total{topic="plimsoll.partials"}"#.to_owned(), 4_096.0),
        (r#"plimsoll_produced_bytes_total{topic="plimsoll.decisions"}"#.to_owned(), 0.0),
    ] {
        assert_eq!(sample(&page, &series), value, "{series}");
    }
}

#[test]
fn an_instance_that_has_evaluated_nothing_shows_no_time_of_an_evaluation() {
    let page = page(&telemetry());
    assert!(!page.contains("plimsoll_last_evaluation_timestamp_seconds"));
    assert!(!page.contains("plimsoll_transaction_last_commit_timestamp_seconds"));
}

#[test]
fn losses_and_faults_are_counted_from_zero_by_topic_and_kind() {
    let telemetry = telemetry();
    let lost = |topic: &str| format!(r#"plimsoll_lost_records_total{{topic="{topic}"}}"#);
    let faults = |kind: &str| format!(r#"plimsoll_exchange_faults_total{{kind="{kind}"}}"#);
    let before = page(&telemetry);
    for series in
        [lost("inference"), lost("plimsoll.partials"), faults("gap"), faults("overlap"), faults("foreign")]
    {
        assert_eq!(sample(&before, &series), 0.0, "{series}");
    }
    telemetry.lost_records("inference", 40);
    let (source, offsets) = (SourcePartition::new("inference", 3), Offsets { from: 10, to: 25 });
    telemetry.exchange_fault(&Fault::Gap { source: source.clone(), offsets });
    telemetry.exchange_fault(&Fault::Overlap { source, offsets, seen: 30 });
    telemetry.exchange_fault(&Fault::Foreign { key: super::key("2", Segment::All), rows: 7 });
    telemetry.exchange_message(100);
    telemetry.exchange_message(50);
    telemetry.restored(Duration::from_millis(400), 9_000);
    let after = page(&telemetry);
    for (series, value) in [
        (lost("inference").as_str(), 40.0),
        (&faults("gap"), 1.0),
        (&faults("overlap"), 1.0),
        (&faults("foreign"), 1.0),
        ("plimsoll_exchange_gap_offsets_total", 15.0),
        ("plimsoll_exchange_foreign_rows_total", 7.0),
        ("plimsoll_exchange_consumed_messages_total", 2.0),
        ("plimsoll_exchange_consumed_bytes_total", 150.0),
        ("plimsoll_restored_bytes_total", 9_000.0),
        (r#"plimsoll_restore_duration_seconds_bucket{le="0.25"}"#, 0.0),
        (r#"plimsoll_restore_duration_seconds_bucket{le="0.5"}"#, 1.0),
    ] {
        assert_eq!(sample(&after, series), value, "{series}");
    }
}

fn specs() -> Vec<Arc<ModelSpec>> {
    let config = config::parse(CONFIG, Path::new("test.yaml"), []).unwrap();
    models(&topics(&config, &BTreeMap::new()).unwrap())
}

/// Ten used records and one late, in `offsets`, up to `seconds` of event time.
fn progress(offsets: [i64; 2], seconds: i64) -> Message {
    let counted = Accounting { records: 11, used: 10, late: 1, rows: 11, late_rows: 1, ..Default::default() };
    let source = SourceProgress {
        source: SourcePartition::new("t", 0),
        offsets: Some(Offsets { from: offsets[0], to: offsets[1] }),
        watermark: Some(EventTime::from_millis(START + seconds * 1_000)),
        idle: false,
        finished: false,
        counted,
        rejected: BTreeMap::new(),
    };
    Message::Progress(Progress {
        wall: NOW,
        sources: vec![source],
        topics: BTreeMap::from([("t".into(), 1)]),
    })
}

fn delta(spec: &ModelSpec, offsets: [i64; 2], rows: u64) -> Message {
    let mut summary = Summary::new(&spec.layout);
    summary.rows = rows;
    Message::Delta(PaneDelta {
        source: SourcePartition::new("t", 0),
        offsets: Offsets { from: offsets[0], to: offsets[1] },
        key: ModelKey {
            tenant: None,
            model: spec.id.clone(),
            version: "1".into(),
            segment: Segment::All,
            profile: None,
        },
        layout: spec.layout_id,
        pane: EventTime::from_millis(START),
        summary,
    })
}

fn of_evaluator(partition: i32, evaluator: &Evaluator) -> View {
    let shown = ExchangeView {
        accounting: evaluator.intake().accounting().clone(),
        turned_late: evaluator.intake().turned().clone(),
        ..held(partition, 0)
    };
    View { exchange: vec![shown], ..View::default() }
}

#[test]
fn totals_of_the_log_are_right_when_they_are_summed_over_instances_also_after_a_restart() {
    let specs = specs();
    let pages = |evaluators: &[Evaluator; 2]| {
        let page = |partition: usize| {
            let telemetry = Telemetry::new("0.1.0", "abc1234");
            telemetry.publish(Arc::new(of_evaluator(partition as i32, &evaluators[partition])));
            page(&telemetry)
        };
        format!("{}\n{}", page(0), page(1))
    };
    let sum = |pages: &str, series: &str| -> f64 {
        let of = |line: &str| Some(line.strip_prefix(series)?.trim().parse::<f64>().unwrap());
        pages.lines().filter_map(of).sum()
    };
    // Both partitions hear of all records; each gets the counts of its own model.
    let mut evaluators = [0, 1].map(|_| Evaluator::new(specs.clone()));
    for (model, evaluator) in evaluators.iter_mut().enumerate() {
        evaluator.take(delta(&specs[model], [0, 11], 5));
        evaluator.take(progress([0, 11], 60));
        // Of what comes next, one model has two rows and the other three in a pane that has closed.
        evaluator.take(delta(&specs[model], [11, 22], 2 + model as u64));
        evaluator.take(progress([11, 22], 70));
    }
    for when in ["as counted", "after a restart"] {
        let pages = pages(&evaluators);
        for (class, count) in [("used", 20.0), ("late", 2.0), ("rejected", 0.0), ("lost", 0.0)] {
            let series = format!(r#"plimsoll_log_records{{topic="t",class="{class}"}}"#);
            assert_eq!(sum(&pages, &series), count, "{class} {when}");
        }
        assert_eq!(sum(&pages, r#"plimsoll_log_turned_late_records{topic="t"}"#), 5.0, "{when}");
        evaluators = evaluators.map(|mut evaluator| {
            // Marks stand in the first record, and are whole in every commit.
            let records =
                evaluator.changes(2).into_iter().filter_map(|change| Some((change.key, change.record?)));
            Evaluator::restore(specs.clone(), |_| true, records).0
        });
    }
}

/// A pipeline over [`CONFIG`] that reads one partition.
struct Story {
    pipeline: Pipeline,
    offset: i64,
}

impl Story {
    fn new() -> Self {
        let config = config::parse(CONFIG, Path::new("test.yaml"), []).unwrap();
        let pipeline = Pipeline::new(topics(&config, &BTreeMap::new()).unwrap(), limits(&config));
        let mut story = Self { pipeline, offset: 0 };
        let partition = SourcePartition::new("t", 0);
        story.event(SourceEvent::Assigned(vec![Assigned { partition, offset: Some(0), metadata: None }]));
        story
    }

    fn event(&mut self, event: SourceEvent<'_>) {
        self.pipeline.handle(event, NOW, &mut |_, why| panic!("{why:?}"));
    }

    fn record(&mut self, model: &str, seconds: i64) {
        let value =
            format!(r#"{{"m":"{model}","v":"1","ts":{},"p":"yes","x":1.5}}"#, START + seconds * 1_000);
        let partition = SourcePartition::new("t", 0);
        let (offset, value) = (self.offset, Some(value.as_bytes()));
        self.event(SourceEvent::Record(RawRecord {
            partition: &partition,
            offset,
            key: None,
            value,
            headers: &[],
        }));
        self.offset += 1;
    }

    fn view(&mut self) -> View {
        self.pipeline.evaluate(NOW);
        self.pipeline.view(NOW, &[], Vec::new())
    }

    fn page(&mut self) -> String {
        let telemetry = Telemetry::new("0.1.0", "abc1234");
        telemetry.publish(Arc::new(self.view()));
        page(&telemetry)
    }
}

#[test]
fn a_model_that_stops_sending_leaves_the_page_when_its_windows_have_passed() {
    let mut story = Story::new();
    for second in 0..60 {
        story.record("goes", second);
        story.record("stays", second);
    }
    let page = story.page();
    let goes = r#"model="goes""#;
    assert!(page.contains(goes) && page.contains("plimsoll_feature_missing_ratio{model=\"goes\""), "{page}");
    for second in 60..100 {
        story.record("stays", second);
    }
    assert!(
        story.page().contains(goes),
        "its windows still reach back to its rows, or say that there are none"
    );
    for second in 100..600 {
        story.record("stays", second);
        if second % 7 == 0 {
            story.view();
        }
    }
    let page = story.page();
    assert!(page.contains(r#"model="stays""#));
    assert!(!page.contains(goes), "{page}");
}

#[test]
fn offsets_that_were_gone_before_they_were_read_are_in_the_accounting_and_make_no_gap() {
    let mut story = Story::new();
    story.record("stays", 0);
    story.event(SourceEvent::Lost { partition: SourcePartition::new("t", 0), from: 1, to: 41 });
    story.offset = 41;
    story.record("stays", 1);
    let evaluated = story.pipeline.evaluate(NOW);
    assert!(evaluated.faults.is_empty(), "{:?}", evaluated.faults);
    let accounting = story.pipeline.accounting();
    assert_eq!((accounting.records, accounting.used, accounting.lost), (2, 2, 40));
    assert!(accounting.adds_up(), "a record that was never read is in no class");
}

#[test]
fn a_thousand_models_have_their_bytes_on_the_page_and_those_at_rest_are_one_sum() {
    let mut view = view();
    let model = view.models.remove(0);
    for number in 0..1_000 {
        let mut model = model.clone();
        model.key.model = format!("m{number:04}").as_str().into();
        view.model_bytes.insert(model.key.model.clone(), 1_000 + number);
        view.models.push(model);
    }
    view.model_bytes.insert("resting-a".into(), 70);
    view.model_bytes.insert("resting-b".into(), 7);
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.publish(Arc::new(view));
    let page = page(&telemetry);
    assert_eq!(sample(&page, r#"plimsoll_model_state_bytes{model="m0999"}"#), 1_999.0);
    assert_eq!(sample(&page, r#"plimsoll_state_bytes{kind="resting"}"#), 77.0);
    for id in [Id::ModelStateBytes, Id::ModelRecords, Id::ModelEventTimestamp] {
        let name = id.spec().name;
        assert_eq!(
            page.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count(),
            1_000,
            "{name}"
        );
        let dropped = format!(r#"plimsoll_metric_series_dropped_total{{family="{name}"}}"#);
        assert_eq!(sample(&page, &dropped), 0.0);
    }
    assert!(!page.contains("resting-a"));
}
