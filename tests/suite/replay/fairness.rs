//! Fairness on COMPAS and on Adult, and the performance of the Adult model. The data describe real
//! people and serve to check arithmetic; the figures are no conclusion about any system.

use super::*;

/// Checks by name, metric, and the golden key of its value.
const COMPARISONS: [(&str, &str); 5] = [
    ("selection_rate_difference", "demographic_parity_difference"),
    ("selection_rate_ratio", "demographic_parity_ratio"),
    ("true_positive_rate_difference", "equal_opportunity_difference"),
    ("false_positive_rate_difference", "fpr_difference"),
    ("equalized_odds_difference", "equalized_odds_difference"),
];

const RACES: &str = "[African-American, Asian, Caucasian, Hispanic, Native American, Other]";

fn compas_model(races: &str, checks: &str) -> String {
    let comparisons = COMPARISONS
        .map(|(metric, _)| {
            format!(
                "      - {{name: {metric}, metric: {metric}, window: 1d, min_group: 1, segments: true}}\n"
            )
        })
        .concat();
    format!(
        "
topics: [{{name: decisions, model: '=compas'}}]
models:
  - name: compas
    topics: [decisions]
    task: binary
    version: '=2016'
    time: /unused
    prediction: /high_risk
    label: /two_year_recid
    groups:
      - {{name: race, from: /race, values: {races}}}
      - {{name: sex, from: /sex, values: [Female, Male]}}
    intersections: [[race, sex]]
    segments: [{{name: filter, from: /propublica_filter, values: [1]}}]
    pane: 1d
    checks:
      - {{name: selection_rate, metric: selection_rate, window: 1d, min_group: 1, min_samples: 1}}
{comparisons}{checks}"
    )
}

/// The COMPAS rows with the prediction that the golden values use.
fn compas() -> Option<Vec<Value>> {
    let mut rows = rows(&shared("data/compas_two_years.csv")?);
    for row in &mut rows {
        row["high_risk"] = u8::from(row["decile_score"].as_u64().unwrap() >= 5).into();
    }
    assert_eq!(rows.len(), 7_214);
    Some(rows)
}

/// All comparisons of one attribute in one segment against one golden block.
fn compare(findings: &[Finding], segment: &Segment, attribute: &str, golden: &Value) {
    for (check, key) in COMPARISONS {
        let about = |finding: &&Finding| {
            finding.check == check
                && finding.segment == *segment
                && matches!(&finding.scope, Scope::Group { group, .. } if group == attribute)
        };
        let found = only(findings.iter().filter(about), check);
        near(found.value, &golden[key], RATE, &format!("{segment} {attribute} {check}"));
    }
}

/// Rows and selection rate of every group against counted outcomes by group.
fn by_group(findings: &[Finding], attribute: &str, cells: &serde_json::Map<String, Value>, joint: &str) {
    let found = of_group(findings, "selection_rate", attribute);
    assert_eq!(found.len(), cells.len(), "every group that has rows, and no other");
    for finding in found {
        let Scope::Group { values, .. } = &finding.scope else { panic!("{finding:?}") };
        let cell = &cells[&values[0].replace('*', joint)];
        let count = |key: &str| cell[key].as_f64().unwrap();
        assert_eq!(finding.n as f64, count("n"), "{values:?}");
        let rate = (count("tp") + count("fp")) / count("n");
        near(finding.value, &rate.into(), RATE, &values[0]);
    }
}

#[test]
fn compas_by_race_and_sex_has_the_figures_of_fairlearn() {
    let (Some(golden), Some(rows)) = (golden("fairness_compas.json"), compas()) else { return };
    let stage = Stage::new();
    let config = stage.config(&compas_model(RACES, ""));
    let input = stage.write("compas.ndjson", &rows);
    let (_, findings) = stage.replay(&config, &[input], by_row());
    let filtered = Segment::Of { name: "filter".into(), value: "1".into() };
    for attribute in ["race", "sex"] {
        compare(&findings, &Segment::All, attribute, &golden["all"][attribute]);
        compare(&findings, &filtered, attribute, &golden["propublica_filter"][attribute]);
        let cells = golden["all"][attribute]["by_group"].as_object().unwrap();
        by_group(&findings, attribute, cells, "|");
    }
    by_group(&findings, "race*sex", golden["intersection_race_sex"]["cells"].as_object().unwrap(), "|");
    // The difference over six groups rests on groups of 18 and of 377; it names them.
    let [widest] = of_group(&findings, "selection_rate_difference", "race")[..] else { panic!() };
    let Scope::Group { values, .. } = &widest.scope else { panic!() };
    assert_eq!(*values, ["Native American", "Other"]);

    // The same rows in three files, which are read as three partitions, say the same.
    let thirds: Vec<PathBuf> = (0..3)
        .map(|third| stage.write(&format!("{third}.ndjson"), rows.iter().skip(third).step_by(3)))
        .collect();
    let (_, again) = stage.replay(&config, &thirds, by_row());
    assert_eq!(again, findings);
}

#[test]
fn compas_with_two_groups_has_the_published_error_rates_and_breaks_the_four_fifths_limit() {
    let (Some(golden), Some(rows)) = (golden("fairness_compas.json"), compas()) else { return };
    let stage = Stage::new();
    let bounded = "      - {name: four-fifths, metric: selection_rate_ratio, groups: [race, sex], window: 1d, bound: '>= 0.8'}\n";
    let config = stage.config(&compas_model("[African-American, Caucasian]", bounded));
    let two = ["African-American", "Caucasian"];
    let input =
        stage.write("two.ndjson", rows.iter().filter(|row| two.contains(&row["race"].as_str().unwrap())));
    let (report, findings) = stage.replay(&config, &[input], by_row());
    assert_eq!(report.accounting.rows, 6_150);
    let block = &golden["african_american_vs_caucasian"]["race"];
    compare(&findings, &Segment::All, "race", block);
    by_group(&findings, "race", block["by_group"].as_object().unwrap(), "|");

    let [race] = of_group(&findings, "four-fifths", "race")[..] else { panic!() };
    assert_eq!(race.verdict, Some(plimsoll::domain::Verdict::Breach), "{race:?}");
    let [sex] = of_group(&findings, "four-fifths", "sex")[..] else { panic!() };
    assert_ne!(sex.verdict, Some(plimsoll::domain::Verdict::Breach), "{sex:?}");
    assert!(report.breached());
}

#[test]
fn groups_too_small_to_compare_are_left_out_and_named() {
    let Some(rows) = compas() else { return };
    let stage = Stage::new();
    let more = "      - {name: large-only, metric: selection_rate_difference, groups: [race], window: 1d}\n";
    let config = stage.config(&compas_model(RACES, more));
    let input = stage.write("compas.ndjson", &rows);
    let (_, findings) = stage.replay(&config, &[input], by_row());
    let [finding] = of_group(&findings, "large-only", "race")[..] else { panic!() };
    let Scope::Group { values, .. } = &finding.scope else { panic!() };
    assert_eq!(*values, ["African-American", "Other"], "without the 18 rows of one group");
    assert_eq!(finding.n, 7_214 - 18);
    near(finding.value, &(2174.0 / 3696.0 - 79.0 / 377.0).into(), RATE, "difference");
    let said = finding.reason.as_ref().unwrap();
    assert!(said.contains("Native American") && !said.contains("Asian"), "{said}");
}

#[test]
fn adult_has_the_figures_of_fairlearn_and_scikit_learn() {
    let (Some(golden), Some(data)) = (golden("fairness_adult.json"), shared("data/adult_predictions.csv"))
    else {
        return;
    };
    let comparisons = COMPARISONS
        .map(|(metric, _)| {
            format!("      - {{name: {metric}, metric: {metric}, window: 1d, min_group: 1}}\n")
        })
        .concat();
    let performance =
        ["accuracy", "precision", "recall", "f1", "brier", "log_loss", "expected_calibration_error"]
            .map(|metric| {
                format!("      - {{name: {metric}, metric: {metric}, window: 1d, bound: '<= 1'}}\n")
            })
            .concat();
    let text = format!(
        "
topics: [{{name: people, model: '=income'}}]
models:
  - name: income
    topics: [people]
    task: binary
    version: '=1'
    time: /unused
    prediction: /prediction
    score: /score
    label: /label
    groups:
      - {{name: sex, from: /sex, values: [Female, Male]}}
      - {{name: race, from: /race, values: [Amer-Indian-Eskimo, Asian-Pac-Islander, Black, Other, White]}}
    pane: 1d
    checks:
      - {{name: selection_rate, metric: selection_rate, window: 1d, min_group: 1}}
{comparisons}{performance}"
    );
    let stage = Stage::new();
    let (_, findings) = stage.replay(&stage.config(&text), &[data], by_row());
    for attribute in ["sex", "race"] {
        let block = &golden["model"][attribute];
        compare(&findings, &Segment::All, attribute, block);
        by_group(&findings, attribute, block["by_group"].as_object().unwrap(), "|");
    }
    let whole = &golden["performance"];
    for metric in ["accuracy", "precision", "recall", "f1"] {
        near(of_model(&findings, metric).value, &whole[metric], RATE, metric);
    }
    for metric in ["brier", "log_loss"] {
        near(of_model(&findings, metric).value, &whole[metric], STATISTIC, metric);
    }
    let calibration = of_model(&findings, "expected_calibration_error");
    near(calibration.value, &golden["calibration_10_equal_width_bins"]["ece"], STATISTIC, "calibration");
    for metric in ["accuracy", "log_loss", "expected_calibration_error"] {
        let finding = of_model(&findings, metric);
        assert_eq!(
            (finding.n, finding.verdict),
            (16_281, Some(plimsoll::domain::Verdict::Pass)),
            "{finding:?}"
        );
    }
    assert_eq!(
        of_model(&findings, "precision").n,
        whole["tp"].as_u64().unwrap() + whole["fp"].as_u64().unwrap()
    );
}
