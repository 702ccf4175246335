//! Policies that decide with a stated error rate: how large the budget is, what they may follow, and
//! that a rule over windows does not act unless somebody wrote down that it may.

use std::path::Path;
use std::time::Duration;

use plimsoll::config::{Budget, Config, Decide, Direction, Errors, Live, Tolerance};
use plimsoll::domain::{Bound, Detector, Metric, Task};
use proptest::prelude::*;

use super::{SMALL, assert_lines, errors, parse};

/// A model with `checks`, and `policies` over it.
fn file(checks: &str, policies: &str) -> String {
    format!(
        r#"
topics: [{{name: inference, model: =credit}}]
models:
  - name: credit
    topics: [inference]
    task: binary
    version: /version
    time: /ts
    prediction: /prediction
    score: /score
    label: /label
    latency: {{from: /latency, unit: s}}
    features: [{{name: income, from: /income, type: numeric}}, {{name: region, from: /region, type: categorical}}]
    groups: [{{name: sex, from: /sex, values: [F, M]}}, {{name: race, from: /race, values: [a, b]}}]
    intersections: [[sex, race]]
    profile: profile.json
    checks: [{checks}]
policies: [{policies}]
actions: [{{name: back, kind: rollback}}, {{name: train, kind: retrain}}, {{name: tell, kind: notify}}]
"#
    )
}

const NULLS: &str = r#"{name: nulls, metric: null_rate, window: 1h, bound: "<= 0.1"}"#;

fn policy(keys: &str) -> Result<Config, Errors> {
    parse(&file(NULLS, &format!("{{name: p, model: credit, checks: [nulls]{keys}}}")))
}

fn policy_errors(keys: &str) -> String {
    policy(keys).expect_err("the policy has a mistake").to_string()
}

#[test]
fn the_budget_is_one_false_alarm_in_four_weeks_unless_it_says_otherwise() {
    let config = parse(SMALL).unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    let fleet = Budget { count: 1.0, per: 28 * day, reference_error: 0.00005 };
    assert_eq!(config.false_alarm_budget, fleet);
    assert_eq!(config.models[0].false_alarm_budget, None);
    assert_eq!(config.models[0].live, Live { versions: 2, tenants: 1, starts: 4 });
    assert_eq!(config.models[0].calibration, None);

    let text = SMALL.replace(
        "time: /ts}",
        "time: /ts, profile: p.json, calibration: c.yaml, false_alarm_budget: {count: 0.5}, live: {starts: 9}}",
    );
    let config = parse(&format!("false_alarm_budget: {{per: 7d, reference_error: 0.01}}\n{text}")).unwrap();
    assert_eq!(config.false_alarm_budget, Budget { count: 1.0, per: 7 * day, reference_error: 0.01 });
    let model = &config.models[0];
    assert_eq!(model.false_alarm_budget, Some(Budget { count: 0.5, per: 7 * day, reference_error: 0.01 }));
    assert_eq!(model.live, Live { versions: 2, tenants: 1, starts: 9 });
    assert_eq!(model.calibration.as_deref(), Some(Path::new("/etc/plimsoll/c.yaml")));
}

#[test]
fn a_budget_that_cannot_be_divided_is_refused() {
    let model = "time: /ts, pane: 1d, live: {versions: 0, tenants: 1001}, calibration: c.yaml, \
                 false_alarm_budget: {count: -1, per: 2h, reference_error: 0.5}}";
    let text = SMALL.replace("time: /ts}", model);
    assert_lines(
        &errors(&format!("false_alarm_budget: {{count: 0, per: 59m, reference_error: 0}}\n{text}")),
        &[
            "false_alarm_budget.count: must be above 0: no rule that can find anything never errs",
            "false_alarm_budget.per: must be at least 1h",
            "false_alarm_budget.reference_error: 0 is not above 0 and at most 0.01",
            "models[0].calibration: needs a `profile`: a calibration says how much traffic may differ from its reference",
            "models[0].false_alarm_budget.count: must be above 0: no rule that can find anything never errs",
            "models[0].false_alarm_budget.per: `2h` is shorter than the pane of the model, 1day",
            "models[0].false_alarm_budget.reference_error: 0.5 is not above 0 and at most 0.01",
            "models[0].live.tenants: must be at most 1000",
            "models[0].live.versions: must be at least 1",
        ],
    );
    let wide = SMALL.replace("time: /ts}", "time: /ts, pane: 12h}");
    assert_eq!(
        errors(&format!("false_alarm_budget: {{per: 1h}}\n{wide}")),
        "false_alarm_budget.per: `1h` is shorter than the pane of models[0], 12h"
    );
}

#[test]
fn what_acts_decides_sequentially_unless_overridden() {
    let decide = |keys: &str| {
        let policy = policy(keys).unwrap().policies.remove(0);
        (policy.decide, policy.violate_windows, policy.violate_of)
    };
    assert_eq!(decide(""), (Decide::Window, 3, 4));
    assert_eq!(decide(", actions: [tell]"), (Decide::Window, 3, 4));
    assert_eq!(decide(", actions: [tell, back]"), (Decide::Sequential, 1, 1));
    assert_eq!(decide(", actions: [train]"), (Decide::Sequential, 1, 1));
    assert_eq!(decide(", actions: [tell], decide: sequential"), (Decide::Sequential, 1, 1));
    assert_eq!(
        decide(", actions: [back], decide: window, window_may_act: true, violate: {windows: 2, of: 3}"),
        (Decide::Window, 2, 3)
    );
}

#[test]
fn a_window_rule_may_not_act_unless_overridden() {
    assert_eq!(
        policy_errors(", actions: [tell, train], decide: window"),
        "policies[0].decide: a window rule has no stated error rate, so it may not ask for `train`: use \
         `decide: sequential`, notify only, or override this with `window_may_act: true`"
    );
    assert_lines(
        &policy_errors(", actions: [back], window_may_act: true, violate: {windows: 2}"),
        &[
            "policies[0].violate: is for `decide: window`; this policy is sequential, the default where an action \
             is a rollback or a retraining, and one alarm is enough: leave it out",
            "policies[0].window_may_act: is for `decide: window`; this policy is sequential, the default where an \
             action is a rollback or a retraining",
        ],
    );
    assert_lines(
        &policy_errors(", decide: sequential, window_may_act: true"),
        &["policies[0].window_may_act: is for `decide: window`; this policy is sequential"],
    );
    // Which of the two it is hangs on an action that is not there, so nothing follows from it.
    assert_lines(
        &policy_errors(", actions: [bakc], violate: {windows: 2}"),
        &["policies[0].actions[0]: there is no action `bakc`; did you mean `back`?"],
    );
}

#[test]
fn a_sequential_policy_follows_what_has_a_detector() {
    let checks = [
        "{name: f1, metric: f1, window: 1h, bound: \">= 0.8\"}",
        "{name: ratio, metric: selection_rate_ratio, window: 1h, bound: \"between 0.8 and 1\"}",
        "{name: gap, metric: equalized_odds_difference, window: 1h}",
        "{name: slow, metric: latency, window: 1h, bound: \">= 1\"}",
        "{name: fast, metric: latency, window: 1h, bound: \"<= 1\"}",
        "{name: fair, metric: selection_rate_ratio, window: 1h, bound: \">= 0.8\"}",
        "{name: drift, metric: psi, window: 1h, tolerance: 0.02}",
        "{name: rate, metric: recall, window: 1h, tolerance: 0.02}",
    ];
    let names = "[f1, ratio, gap, slow, fast, fair, drift, rate]";
    let policy = format!("{{name: p, model: credit, checks: {names}, actions: [back]}}");
    assert_lines(
        &errors(&file(&checks.join(", "), &policy)),
        &[
            "policies[0].checks[0]: `f1` is about `f1`, for which there is no detector with a stated error rate; a \
             sequential policy can follow psi, jensen_shannon, hellinger, total_variation, chi_squared, \
             kolmogorov_smirnov, wasserstein, wasserstein_normalized, null_rate, invalid_rate, unseen_rate, \
             out_of_range_rate, selection_rate, selection_rate_difference, selection_rate_ratio, \
             true_positive_rate_difference, false_positive_rate_difference, equalized_odds_difference, accuracy, \
             precision, recall, brier, latency, anomaly_rate, and `decide: window` any metric",
            "policies[0].checks[1]: `ratio` needs a bound such as `>= 0.8`, which is all that its detector compares \
             with; see models[0].checks[1]",
            "policies[0].checks[2]: `gap` needs a bound such as `<= 0.1`, which is all that its detector compares \
             with; see models[0].checks[2]",
            "policies[0].checks[3]: `slow` needs a bound such as `<= 0.25`, which is all that its detector compares \
             with; see models[0].checks[3]",
        ],
    );
}

#[test]
fn a_check_that_will_only_be_shown_is_warned_about() {
    let checks = [
        "{name: drift, metric: psi, window: 1h, bound: \"<= 0.2\"}",
        "{name: nulls, metric: null_rate, window: 1h}",
        "{name: bounded, metric: null_rate, window: 1h, bound: \"<= 0.1\"}",
    ];
    let policy = "{name: p, model: credit, checks: [drift, nulls, bounded], decide: sequential, actions: [back, train, tell]}";
    let text = file(&checks.join(", "), policy);
    let warnings = |text: &str| -> Vec<String> {
        parse(text).unwrap().warnings.iter().map(ToString::to_string).collect()
    };
    let shown = "will be shown and never act, as nothing says how much it varies by itself; give";
    assert_eq!(
        warnings(&text),
        [
            format!(
                "policies[0].checks[0]: `drift` {shown} models[0] the `calibration` that `plimsoll calibrate` writes"
            ),
            format!(
                "policies[0].checks[1]: `nulls` {shown} it a `bound`, or models[0] the `calibration` that `plimsoll calibrate` writes"
            ),
        ]
    );
    let calibrated = text.replace("profile: profile.json", "profile: profile.json\n    calibration: c.yaml");
    assert_eq!(warnings(&calibrated), Vec::<String>::new());
}

#[test]
fn direction_and_tolerance_fit_what_is_watched() {
    let check = |keys: &str| {
        let config = parse(&file(&format!("{{name: c, window: 1h, {keys}}}"), ""));
        config.map(|mut config| config.models.remove(0).checks.remove(0)).map_err(|wrong| wrong.to_string())
    };
    let direction = |keys: &str| check(keys).unwrap().direction;
    assert_eq!(direction("metric: null_rate"), Direction::Above, "the way in which it gets worse");
    assert_eq!(direction("metric: accuracy"), Direction::Below);
    assert_eq!(direction("metric: null_rate, direction: both"), Direction::Both);
    assert_eq!(direction("metric: null_rate, direction: below"), Direction::Below);
    assert_eq!(direction("metric: null_rate, bound: \"<= 0.1\""), Direction::Above);
    assert_eq!(direction("metric: accuracy, bound: \">= 0.1\", direction: below"), Direction::Below);
    assert_eq!(direction("metric: brier, bound: \"between 0.1 and 0.2\""), Direction::Both);
    assert_eq!(direction("metric: latency, bound: \"<= 0.1\""), Direction::Above);

    let rates = check("metric: selection_rate, tolerance: {F: 0.1, F*other: 0}, weight: 2.5").unwrap();
    assert_eq!(rates.weight, 2.5);
    assert_eq!((rates.tolerance_of("F"), rates.tolerance_of("M")), (Some(0.1), None));
    let drift = check("metric: psi, of: [features, score], tolerance: {income: 0.1, score: 0.2}").unwrap();
    assert_eq!(drift.tolerance_of("score"), Some(0.2));
    let all = check("metric: psi, tolerance: 0").unwrap();
    assert_eq!((all.tolerance.clone(), all.tolerance_of("income")), (Some(Tolerance::All(0.0)), Some(0.0)));

    for (keys, wrong) in [
        ("metric: psi, direction: above", "direction: is for rates and means; `psi` is neither"),
        (
            "metric: null_rate, bound: \"<= 0.1\", direction: below",
            "direction: `below` contradicts the bound `<= 0.1`, which is left `above`",
        ),
        (
            "metric: null_rate, bound: \"between 0 and 0.1\", direction: above",
            "direction: `above` contradicts the bound `between 0 and 0.1`, which is left both ways",
        ),
        ("metric: latency, direction: both", "direction: `latency` is watched above its bound only"),
        ("metric: f1, tolerance: 0.1", "tolerance: `f1` has no detector that a tolerance could be for"),
        (
            "metric: selection_rate_ratio, tolerance: 0.1",
            "tolerance: `selection_rate_ratio` is compared with its bound alone; move the bound instead",
        ),
        ("metric: psi, tolerance: 1", "tolerance: 1 is not a share, from 0 to below 1"),
        (
            "metric: psi, tolerance: {income: -0.1}",
            "tolerance.income: -0.1 is not a share, from 0 to below 1",
        ),
        ("metric: psi, tolerance: {}", "tolerance: names nothing; write a number, or one for each name"),
        (
            "metric: psi, of: income, tolerance: {regoin: 0.1}",
            "tolerance.regoin: the check is asked of no column `regoin`; expected one of: income",
        ),
        (
            "metric: selection_rate, groups: [sex], tolerance: {green: 0.1}",
            "tolerance.green: the check is asked of no group value `green`; expected one of: F, M, other",
        ),
        (
            "metric: accuracy, tolerance: {a: 0.1}",
            "tolerance: must be a number: the check is asked of the model as a whole",
        ),
        ("metric: psi, tolerance: many", "tolerance: must be a number or a mapping, not text"),
        (
            "metric: null_rate, weight: 0",
            "weight: must be from 0.000001 to 1000000; to spend nothing on a check, let no sequential policy follow it",
        ),
    ] {
        assert_eq!(check(keys).unwrap_err(), format!("models[0].checks[0].{wrong}"), "{keys}");
    }
    let bare = file("{name: c, metric: null_rate, window: 1h, tolerance: 0.1}", "")
        .replace("profile: profile.json", "");
    assert_eq!(
        errors(&bare),
        "models[0].checks[0].tolerance: is what may differ from the reference, and the model has no `profile`"
    );
}

#[test]
fn a_bound_lies_where_the_metric_can_be() {
    let told = |metric: &str, bound: &str| {
        let check = format!("{{name: c, metric: {metric}, window: 1h, bound: {bound:?}}}");
        match parse(&file(
            &check,
            "{name: p, model: credit, checks: [c], actions: [tell]}, {name: q, model: credit, checks: [c], decide: window, window_may_act: true, actions: [back, train]}",
        )) {
            Ok(config) => config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            Err(wrong) => format!("refused: {wrong}"),
        }
    };
    for (metric, bound, words) in [
        ("psi", "<= -1", "refused: models[0].checks[0].bound: `<= -1` allows nothing: `psi` is 0 or more"),
        ("psi", ">= -1", "refused: models[0].checks[0].bound: `>= -1` allows everything: `psi` is 0 or more"),
        ("psi", ">= 0", "models[0].checks[0].bound: `>= 0` allows everything: `psi` is 0 or more"),
        ("psi", "<= 0", ""),
        (
            "selection_rate_ratio",
            ">= 1.5",
            "refused: models[0].checks[0].bound: `>= 1.5` allows nothing: `selection_rate_ratio` is 0 to 1",
        ),
        // As people write it for a ratio that may be above 1.
        ("selection_rate_ratio", "between 0.8 and 1.25", ""),
        (
            "accuracy",
            "<= 80",
            "refused: models[0].checks[0].bound: `<= 80` allows everything: `accuracy` is 0 to 1",
        ),
        ("accuracy", "<= 1", "models[0].checks[0].bound: `<= 1` allows everything: `accuracy` is 0 to 1"),
        ("latency", "<= 250", ""),
    ] {
        assert_eq!(told(metric, bound), words, "{metric} {bound}");
    }
    let clear = parse(&file(
        NULLS,
        "{name: p, model: credit, checks: [nulls], clear: {bounds: {nulls: \"<= -0.1\"}}}",
    ));
    assert_eq!(
        clear.unwrap_err().to_string(),
        "policies[0].clear.bounds.nulls: `<= -0.1` allows nothing: `null_rate` is 0 to 1"
    );
}

#[test]
fn a_clear_bound_can_stand_for_the_one_that_a_sequential_check_lacks() {
    let checks = "{name: nulls, metric: null_rate, window: 1h, tolerance: 0.01}, {name: bare, metric: null_rate, window: 1h, tolerance: 0.01}";
    let policy = "{name: p, model: credit, checks: [nulls, bare], decide: sequential, clear: {bounds: {nulls: \"<= 0.1\"}}}";
    let policy = parse(&file(checks, policy)).unwrap().policies.remove(0);
    assert_eq!(
        policy.clear_bounds.into_iter().collect::<Vec<_>>(),
        [("nulls".to_owned(), Bound::AtMost(0.1))]
    );
}

#[test]
fn the_log_level_is_one() {
    for level in ["info", "WARN", "off", "info,plimsoll::ingest=debug", "warn,[span{x=1}]=trace", "3"] {
        parse(&format!("log: {{level: {level:?}}}\n{SMALL}")).unwrap();
    }
    assert_eq!(
        errors(&format!("log: {{level: banana}}\n{SMALL}")),
        "log.level: `banana` is no level; expected one of: off, error, warn, info, debug, trace (one for a module is `banana=debug`)"
    );
    assert_eq!(
        errors(&format!("log: {{level: \"plimsoll=debug,inof\"}}\n{SMALL}")),
        "log.level: `inof` is no level; did you mean `info`? (one for a module is `inof=debug`)"
    );
}

proptest! {
    /// A metric with a detector for a task is one that serves it or any other, and averages over the
    /// classes of a multiclass model have none.
    #[test]
    fn detectors_are_for_what_they_can_watch(metric in prop::sample::select(Metric::ALL.to_vec())) {
        let (low, high) = metric.range();
        prop_assert!(low < high);
        for task in [Task::Binary, Task::Multiclass, Task::Regression] {
            let detector = metric.sequential(task);
            if detector == Some(Detector::Limit) || detector == Some(Detector::Mean) {
                prop_assert_eq!((low, high), (0.0, 1.0));
            }
            if task == Task::Multiclass && matches!(metric, Metric::Precision | Metric::Recall) {
                prop_assert_eq!(detector, None);
            }
        }
    }
}
