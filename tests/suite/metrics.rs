//! The metrics page: what it shows of a view, what it leaves out, and that its two formats and its
//! documentation say the same as the catalogue.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod actions;
mod example;
pub(super) mod exchange;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use plimsoll::domain::{EventTime, Finding, Metric, Scope, Tenant};
use plimsoll::engine::view::{PolicyState, View};
use plimsoll::safety::ActionKind;
use plimsoll::telemetry::catalogue::{Id, Kind};
use plimsoll::telemetry::{self, Format, Telemetry};
use proptest::prelude::*;

use example::END;
pub(super) use example::{feature, finding, group, key, telemetry, view};

/// The value of the sample that is written exactly so.
#[track_caller]
fn sample(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no sample {series} in\n{page}")).parse().unwrap()
}

#[test]
fn a_view_and_the_events_are_shown_under_the_names_of_the_catalogue() {
    let page = telemetry().page(Format::Prometheus).unwrap();
    let version = r#"model="credit",model_version="2""#;
    for (series, value) in [
        (r#"plimsoll_build_info{version="0.1.0",revision="abc1234"}"#.to_owned(), 1.0),
        (r#"plimsoll_consumed_records_total{topic="inference",partition="3"}"#.to_owned(), 10_000.0),
        (r#"plimsoll_consumed_bytes_total{topic="inference",partition="3"}"#.to_owned(), 4_000_000.0),
        (r#"plimsoll_used_records_total{topic="inference"}"#.to_owned(), 9_980.0),
        (r#"plimsoll_rejected_records_total{topic="inference",reason="invalid_json"}"#.to_owned(), 12.0),
        (r#"plimsoll_rejected_records_total{topic="inference",reason="tombstone"}"#.to_owned(), 0.0),
        (r#"plimsoll_consumer_lag_records{topic="inference",partition="3"}"#.to_owned(), 17.0),
        (
            r#"plimsoll_watermark_timestamp_seconds{topic="inference",partition="3"}"#.to_owned(),
            1_795_341_570.0,
        ),
        (r#"plimsoll_rebalances_total{kind="assign"}"#.to_owned(), 1.0),
        (r#"plimsoll_rebalances_total{kind="lost"}"#.to_owned(), 0.0),
        (r#"plimsoll_stage_busy_seconds_total{stage="decode"}"#.to_owned(), 1.25),
        (r#"plimsoll_evaluation_duration_seconds_bucket{le="0.0025"}"#.to_owned(), 0.0),
        (r#"plimsoll_evaluation_duration_seconds_bucket{le="0.005"}"#.to_owned(), 1.0),
        ("plimsoll_evaluation_duration_seconds_count".to_owned(), 1.0),
        ("plimsoll_commits_total".to_owned(), 1.0),
        ("plimsoll_commit_failures_total".to_owned(), 1.0),
        ("plimsoll_commit_timestamp_seconds".to_owned(), 1_795_341_600.0),
        (r#"plimsoll_sink_errors_total{sink="findings",error_type="timeout"}"#.to_owned(), 1.0),
        (r#"plimsoll_state_bytes{kind="panes"}"#.to_owned(), 120_000.0),
        (format!("plimsoll_model_records_total{{{version}}}"), 9_980.0),
        (format!(r#"plimsoll_policy_state{{{version},policy="fair-lending"}}"#), 3.0),
        (format!(r#"plimsoll_evaluations_total{{{version},check="psi",verdict="breach"}}"#), 3.0),
        (format!(r#"plimsoll_evaluations_total{{{version},check="psi",verdict="not_judged"}}"#), 0.0),
        (format!(r#"plimsoll_check_findings{{{version},check="psi",verdict="breach"}}"#), 1.0),
        (r#"plimsoll_policy_info{model="credit",policy="fair-lending",decide="sequential"}"#.to_owned(), 1.0),
        (format!(r#"plimsoll_check_slots{{{version},check="psi",verdict="insufficient"}}"#), 1.0),
        (format!(r#"plimsoll_check_slots{{{version},check="psi",verdict="shadow"}}"#), 1.0),
        (format!(r#"plimsoll_check_slots{{{version},check="psi",verdict="breach"}}"#), 0.0),
        (format!(r#"plimsoll_log_e_value{{{version},check="psi",scope="income"}}"#), 7.0),
        (format!(r#"plimsoll_log_e_value_threshold{{{version},check="psi",scope="income"}}"#), 14.0),
        (format!(r#"plimsoll_slot_shadow{{{version},check="psi",scope="income"}}"#), 0.0),
        (format!(r#"plimsoll_slot_shadow{{{version},check="psi",scope="age"}}"#), 1.0),
        (
            format!(
                r#"plimsoll_false_alarm_budget_share{{{version},check="selection_rate_ratio",scope="sex"}}"#
            ),
            0.25,
        ),
        (format!(r#"plimsoll_false_alarm_budget_period_seconds{{{version},check="psi"}}"#), 2_419_200.0),
        (
            r#"plimsoll_alarms_total{model="credit",check="psi",rule="e_detector",mode="shadow"}"#.to_owned(),
            1.0,
        ),
        (
            r#"plimsoll_alarms_total{model="credit",check="psi",rule="e_detector",mode="live"}"#.to_owned(),
            0.0,
        ),
        (format!(r#"plimsoll_check_upper_bound{{{version},check="psi",metric="psi"}}"#), 0.2),
        (format!(r#"plimsoll_window_samples{{{version},check="psi"}}"#), 9_100.0),
        (format!(r#"plimsoll_feature_drift_psi{{{version},check="psi",feature="income"}}"#), 0.31),
        (format!(r#"plimsoll_drifted_features_ratio{{{version},check="psi"}}"#), 0.5),
        (
            format!(
                r#"plimsoll_fairness_impact_ratio{{{version},check="selection_rate_ratio",attribute="sex"}}"#
            ),
            0.6,
        ),
        (
            format!(
                r#"plimsoll_fairness_rate_ratio{{{version},check="selection_rate",attribute="sex",group="F",rate="selection"}}"#
            ),
            0.42,
        ),
        (r#"plimsoll_decisions_total{model="credit",policy="fair-lending",kind="violated"}"#.to_owned(), 1.0),
        (r#"plimsoll_actions_total{model="credit",action="roll-back",outcome="submitted"}"#.to_owned(), 1.0),
        (r#"plimsoll_actions_total{model="credit",action="roll-back",outcome="failed"}"#.to_owned(), 0.0),
        (
            r#"plimsoll_action_last_timestamp_seconds{model="credit",action="roll-back"}"#.to_owned(),
            1_795_341_601.0,
        ),
    ] {
        assert_eq!(sample(&page, &series), value, "{series}");
    }
    assert!(!page.contains("0.99"), "findings about a segment are not series");
    let thin = r#"check="selection_rate_ratio",scope="sex"} "#;
    let thin: Vec<&str> = page.lines().filter(|line| line.contains(thin)).collect();
    assert!(!thin.iter().any(|line| line.starts_with("plimsoll_log_e_value{")), "no e-value, no series");
    assert_eq!(
        thin.len(),
        3,
        "a slot of a limit is the attribute's, whichever groups are the extremes: {thin:?}"
    );
}

#[test]
fn every_record_is_in_one_class_on_the_page_too() {
    let page = telemetry().page(Format::Prometheus).unwrap();
    let of = |name: &str| sample(&page, &format!(r#"plimsoll_{name}_records_total{{topic="inference"}}"#));
    let rejected: f64 = page
        .lines()
        .filter(|line| line.starts_with("plimsoll_rejected_records_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(of("accounted"), of("used") + of("late") + rejected);
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_itself_is_shown() {
    let page = telemetry().page(Format::Prometheus).unwrap();
    assert!(sample(&page, "process_cpu_seconds_total") >= 0.0);
    assert!(sample(&page, "process_resident_memory_bytes") > 1e6);
    assert!(sample(&page, "process_open_fds") >= 3.0);
    assert!(sample(&page, "process_start_time_seconds") > 1.7e9, "seconds since the epoch");
}

#[test]
fn a_counter_is_shown_at_zero_before_anything_happened() {
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.declare_topics(["inference"]);
    telemetry.declare_action("credit", "roll-back", ActionKind::Rollback);
    let page = telemetry.page(Format::Prometheus).unwrap();
    for series in [
        r#"plimsoll_rejected_records_total{topic="inference",reason="too_large"}"#,
        r#"plimsoll_dead_letters_total{topic="inference"}"#,
        r#"plimsoll_actions_total{model="credit",action="roll-back",outcome="failed"}"#,
        r#"plimsoll_sink_errors_total{sink="audit",error_type="timeout"}"#,
        r#"plimsoll_metric_series_dropped_total{family="plimsoll_feature_drift_psi"}"#,
        "plimsoll_commit_failures_total",
    ] {
        assert_eq!(sample(&page, series), 0.0, "{series}");
    }
}

#[test]
fn what_is_not_known_is_absent() {
    let mut view = view();
    view.watermark = Some(EventTime::MAX);
    view.sources[0].newest = None;
    view.sources[0].watermark = Some(EventTime::MIN);
    view.sources[0].lag = None;
    let mut findings: Vec<Finding> = view.latest.iter().map(|finding| (**finding).clone()).collect();
    findings[0].value = None;
    findings[1].value = Some(f64::NAN);
    findings[2].interval = Some([f64::NEG_INFINITY, f64::INFINITY]);
    findings[4].n = 10;
    view.latest = findings.into_iter().map(Arc::new).collect();
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.publish(Arc::new(view));
    let page = telemetry.page(Format::Prometheus).unwrap();
    for name in [
        "plimsoll_engine_watermark_timestamp_seconds",
        "plimsoll_event_timestamp_seconds",
        "plimsoll_watermark_timestamp_seconds",
        "plimsoll_consumer_lag_records",
        "plimsoll_feature_drift_psi",
        "plimsoll_fairness_impact_lower_ratio",
        "plimsoll_fairness_rate_ratio",
        "plimsoll_fairness_group_samples",
    ] {
        assert!(!page.contains(&format!("# TYPE {name} ")), "{name} in\n{page}");
    }
    let impact = r#"plimsoll_fairness_impact_ratio{model="credit",model_version="2",check="selection_rate_ratio",attribute="sex"}"#;
    assert_eq!(sample(&page, impact), 0.6);
}

#[test]
fn a_scope_that_the_newest_window_does_not_have_is_not_shown() {
    let mut view = view();
    let mut old = finding(Metric::SelectionRateRatio, group(&["M", "X"]), Some(0.1), 40);
    old.window.end = EventTime::from_millis(END - 60_000);
    view.latest.push(Arc::new(old));
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.publish(Arc::new(view));
    let page = telemetry.page(Format::Prometheus).unwrap();
    let impact = r#"plimsoll_fairness_impact_ratio{model="credit",model_version="2",check="selection_rate_ratio",attribute="sex"}"#;
    assert_eq!(sample(&page, impact), 0.6, "the older window has other extreme groups");
}

#[test]
fn two_profiles_of_one_version_are_one_version_on_the_page() {
    let mut view = view();
    let mut replaced = view.models[0].clone();
    replaced.key.profile = Some("sha256:00".into());
    replaced.rows = 20;
    replaced.newest = EventTime::from_millis(END - 1);
    replaced.policies[0].state = PolicyState::Ok;
    view.models.push(replaced);
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.publish(Arc::new(view));
    let page = telemetry.page(Format::Prometheus).unwrap();
    let version = r#"model="credit",model_version="2""#;
    assert_eq!(sample(&page, &format!("plimsoll_model_records_total{{{version}}}")), 10_000.0);
    let state = format!(r#"plimsoll_policy_state{{{version},policy="fair-lending"}}"#);
    assert_eq!(sample(&page, &state), 3.0, "the key with the newest row speaks");
}

#[test]
fn tenants_with_models_of_the_same_name_stay_apart() {
    let mut view = view();
    let mut other = view.models[0].clone();
    other.key.tenant = Some(Tenant::from("bank-b"));
    other.rows = 7;
    view.models.push(other);
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.publish(Arc::new(view));
    let page = telemetry.page(Format::Prometheus).unwrap();
    let version = r#"model="credit",model_version="2""#;
    assert_eq!(sample(&page, &format!("plimsoll_model_records_total{{{version}}}")), 9_980.0);
    assert_eq!(sample(&page, &format!(r#"plimsoll_model_records_total{{tenant="bank-b",{version}}}"#)), 7.0);
}

#[test]
fn ten_thousand_versions_stay_within_the_limit_and_the_loss_is_counted() {
    let mut view = view();
    for version in 0..10_000 {
        let mut model = view.models[0].clone();
        model.key.version = format!("v{version:05}").into();
        view.models.push(model);
    }
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.publish(Arc::new(view));
    let limit = Id::ModelRecords.spec().series.limit();
    let dropped = r#"plimsoll_metric_series_dropped_total{family="plimsoll_model_records_total"}"#;
    for pages in 1..=2 {
        let page = telemetry.page(Format::Prometheus).unwrap();
        let shown = page.lines().filter(|line| line.starts_with("plimsoll_model_records_total{")).count();
        assert_eq!(shown, limit);
        assert_eq!(sample(&page, dropped), (pages * (10_001 - limit)) as f64);
    }
}

#[test]
fn both_formats_hold_the_same_samples_and_name_their_families_as_each_format_asks() {
    let telemetry = telemetry();
    let open_metrics = telemetry.page(Format::OpenMetrics).unwrap();
    let prometheus = telemetry.page(Format::Prometheus).unwrap();
    let samples = |page: &str| -> BTreeSet<String> {
        let series = page.lines().filter(|line| !line.starts_with('#') && !line.starts_with("process_"));
        series.map(str::to_owned).collect()
    };
    assert_eq!(samples(&open_metrics), samples(&prometheus));
    assert!(open_metrics.ends_with("# EOF\n"));
    assert!(open_metrics.contains("# TYPE plimsoll_build info\n"));
    assert!(
        open_metrics
            .contains("# TYPE plimsoll_consumed_bytes counter\n# UNIT plimsoll_consumed_bytes bytes\n")
    );
    assert!(!prometheus.contains("# UNIT") && !prometheus.contains("# EOF"));
    assert!(prometheus.contains("# TYPE plimsoll_build_info gauge\n"));
    assert!(prometheus.contains("# TYPE plimsoll_consumed_bytes_total counter\n"));
}

#[test]
fn the_page_shows_no_metric_that_the_catalogue_does_not_list() {
    let page = telemetry().page(Format::Prometheus).unwrap();
    let known: BTreeSet<(&str, &str)> = Id::ALL
        .iter()
        .map(|id| id.spec())
        .map(|spec| (spec.name, if spec.kind == Kind::Info { "gauge" } else { spec.kind.name() }))
        .collect();
    let types: Vec<(&str, &str)> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    assert!(types.len() > 40);
    for shown in types {
        assert!(known.contains(&shown), "{shown:?}");
    }
}

/// The finding that a metric is computed for, whatever the metric.
fn any_finding(metric: Metric) -> Finding {
    use plimsoll::domain::metric::Family;
    let scope = match metric.family() {
        Family::Drift | Family::Quality => feature("income"),
        Family::Fairness if metric == Metric::SelectionRate => group(&["F"]),
        Family::Fairness => group(&["F", "M"]),
        Family::Performance | Family::Traffic | Family::Latency | Family::Anomaly => Scope::Model {},
    };
    finding(metric, scope, Some(0.5), 1_000)
}

#[test]
fn every_metric_of_a_check_is_a_series() {
    for &metric in Metric::ALL {
        let telemetry = Telemetry::new("0.1.0", "abc1234");
        let before = telemetry.page(Format::Prometheus).unwrap();
        let latest = vec![Arc::new(any_finding(metric))];
        telemetry.publish(Arc::new(View { latest, ..View::default() }));
        let page = telemetry.page(Format::Prometheus).unwrap();
        let check = format!(r#"check="{metric}""#);
        let shown = page.lines().filter(|line| line.contains(&check) && line.ends_with(" 0.5")).count();
        assert_eq!(shown, 1, "{metric}");
        assert!(!before.contains(&check));
    }
}

proptest! {
    #[test]
    fn any_label_value_leaves_one_sample_on_one_line(name in "\\PC*|[\"\\\\\n{}= #,]{1,12}") {
        let telemetry = Telemetry::new("0.1.0", "abc1234");
        let finding = finding(Metric::Psi, feature(&name), Some(0.25), 100);
        telemetry.publish(Arc::new(View { latest: vec![Arc::new(finding)], ..View::default() }));
        let page = telemetry.page(Format::Prometheus).unwrap();
        let lines: Vec<&str> = page.split('\n').filter(|line| line.starts_with("plimsoll_feature_drift_psi{")).collect();
        prop_assert_eq!(lines.len(), 1);
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let label = if name.is_empty() { String::new() } else { format!(",feature=\"{escaped}\"") };
        let wanted = format!("plimsoll_feature_drift_psi{{model=\"credit\",model_version=\"2\",check=\"psi\"{label}}} 0.25");
        prop_assert_eq!(lines[0], wanted);
    }
}

#[test]
fn the_documentation_lists_the_catalogue() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let wanted = telemetry::markdown();
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/metrics.md is out of date: PLIMSOLL_BLESS=1 cargo test --test suite metrics"
    );
}
