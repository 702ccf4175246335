//! Drift on fixed splits of public data sets, each column against the values that the definitions
//! give in another program, and against scipy on the raw values.

use super::*;

const METRICS: [&str; 8] = [
    "psi",
    "jensen_shannon",
    "hellinger",
    "total_variation",
    "chi_squared",
    "kolmogorov_smirnov",
    "wasserstein",
    "wasserstein_normalized",
];

/// A model with numeric columns of these names, and every drift metric asked of each of them.
pub(super) fn numeric_model(columns: &[&str]) -> String {
    let features: Vec<String> = columns
        .iter()
        .map(|column| format!("      - {{name: {column}, from: /{column}, type: numeric}}\n"))
        .collect();
    format!(
        "
topics: [{{name: rows, model: '=m'}}]
models:
  - name: m
    topics: [rows]
    task: regression
    version: '=1'
    time: /unused
    profile: reference.json
    pane: 1d
    features:
{}    checks:
{}",
        features.concat(),
        checks("1d")
    )
}

/// One check for each drift metric, by its name.
pub(super) fn checks(window: &str) -> String {
    METRICS
        .map(|metric| {
            format!(
                "      - {{name: {metric}, metric: {metric}, window: {window}, slide: {window}, min_samples: 1}}\n"
            )
        })
        .concat()
}

/// One numeric column against its golden block.
pub(super) fn numeric_column(findings: &[Finding], column: &str, golden: &Value) {
    let (scipy, native) = (&golden["scipy"], &golden["native"]);
    let (deciles, fine) = (&native["deciles"], &native["fine64"]);
    let found = |metric: &str| of_feature(findings, metric, column);
    let value = |metric: &str| found(metric).value;

    near(value("psi"), &deciles["psi_half_count"], STATISTIC, column);
    near(found("psi").expected, &deciles["psi_null_mean"], STATISTIC, column);
    near(found("psi").p_value, &deciles["psi_p_chi2"], PROBABILITY, column);
    near(value("jensen_shannon"), &deciles["js_distance_base_e_half_count"], STATISTIC, column);
    near(value("hellinger"), &deciles["hellinger_half_count"], STATISTIC, column);
    near(value("total_variation"), &deciles["tvd_raw"], STATISTIC, column);
    near(value("kolmogorov_smirnov"), &fine["ks_binned_lower"], STATISTIC, column);
    near_relative(value("wasserstein"), &fine["w1_inner"], STATISTIC, column);

    // scipy saw the raw values: the exact distance lies between what the cells show and what they
    // cannot rule out, and a p-value from cells is never smaller than the exact one.
    let (low, exact) = (value("kolmogorov_smirnov").unwrap(), scipy["ks_stat"].as_f64().unwrap());
    assert!(
        low <= exact + STATISTIC && exact <= fine["ks_upper_bound"].as_f64().unwrap() + STATISTIC,
        "{column}"
    );
    let p = found("kolmogorov_smirnov").p_value.unwrap();
    assert!(p >= scipy["ks_p"].as_f64().unwrap() * (1.0 - 1e-6) - 1e-12, "{column}: {p}");
    let scale =
        scipy["wasserstein_raw"].as_f64().unwrap() / scipy["wasserstein_over_ref_std"].as_f64().unwrap();
    let normalized = fine["w1_inner"].as_f64().unwrap() / scale;
    near(value("wasserstein_normalized"), &normalized.into(), STATISTIC, column);

    let [low, high] = found("psi").interval.unwrap();
    assert!(low <= high && low >= 0.0, "{column}");
    for metric in METRICS {
        assert_eq!(
            (found(metric).n, found(metric).verdict, &found(metric).reason),
            (found("psi").n, None, &None)
        );
    }
}

/// The statistic and p-value of the two-sample table, worked out in the plainest way.
fn contingency(reference: &[u64], current: &[u64]) -> f64 {
    let (m, n): (u64, u64) = (reference.iter().sum(), current.iter().sum());
    let total = (m + n) as f64;
    let mut sum = 0.0;
    for (row, size) in [(reference, m), (current, n)] {
        for (cell, count) in row.iter().enumerate() {
            let expected = (reference[cell] + current[cell]) as f64 * size as f64 / total;
            sum += (*count as f64 - expected).powi(2) / expected;
        }
    }
    sum
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

#[test]
fn electricity_prices_drift_as_elsewhere_and_constants_show_their_change() {
    let (Some(golden), Some(data)) = (golden("drift.json"), shared("data/elec.csv")) else { return };
    let stage = Stage::new();
    let rows = rows(&data);
    let reference = stage.write("before.ndjson", &rows[..15_000]);
    let current = stage.write("after.ndjson", &rows[15_000..30_000]);
    let moving = ["period", "nswprice", "nswdemand"];
    let constant = ["vicprice", "vicdemand", "transfer"];
    let config = stage.config(&numeric_model(&[moving, constant].concat()));
    let profile = stage.freeze(&config, &[reference]);
    assert_eq!(profile.rows, 15_000);
    for column in constant {
        let noted = profile.notes.iter().any(|note| note.contains(column) && note.contains("constant"));
        assert!(noted, "{column}: {:?}", profile.notes);
    }
    let (_, findings) = stage.replay(&config, &[current], by_row());

    let columns = &golden["sets"]["elec"]["columns"];
    for column in moving {
        numeric_column(&findings, column, &columns[column]);
        let block = &columns[column]["native"]["deciles"];
        let chi = contingency(&counts(&block["ref_counts"]), &counts(&block["cur_counts"]));
        near_relative(of_feature(&findings, "chi_squared", column).value, &chi.into(), STATISTIC, column);
    }
    // Two cells would hide whatever lies above the constant; three do not.
    for column in constant {
        let three = &golden["elec_constant_reference_three_cells"]["columns"][column];
        let value = |metric: &str| of_feature(&findings, metric, column).value;
        near(value("psi"), &three["psi_half_count"], STATISTIC, column);
        near(value("kolmogorov_smirnov"), &three["ks_exact"], STATISTIC, column);
        let moved = counts(&three["cur_counts"]);
        let share = (moved[0] + moved[2]) as f64 / 15_000.0;
        near(value("total_variation"), &share.into(), STATISTIC, column);
        // The reference gives neither a scale nor cells with a width, so no distance is stated,
        // least of all one of 0.
        for metric in ["wasserstein", "wasserstein_normalized"] {
            let finding = of_feature(&findings, metric, column);
            assert_eq!((finding.value, finding.interval), (None, None), "{column} {metric}");
            assert!(finding.reason.as_ref().unwrap().contains("constant"), "{:?}", finding.reason);
        }
    }
}

#[test]
fn californian_houses_drift_as_elsewhere() {
    let (Some(golden), Some(reference), Some(current)) = (
        golden("drift.json"),
        shared("data/california_housing_reference.csv"),
        shared("data/california_housing_analysis.csv"),
    ) else {
        return;
    };
    let stage = Stage::new();
    let columns = &golden["sets"]["california_housing"]["columns"];
    let names: Vec<&str> = columns.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names.len(), 8);
    let config = stage.config(&numeric_model(&names));
    assert_eq!(stage.freeze(&config, &[reference]).rows, 5_832);
    let (report, findings) = stage.replay(&config, &[current], by_row());
    assert_eq!(report.accounting.rows, 8_232);
    for column in &names {
        numeric_column(&findings, column, &columns[*column]);
    }
    // No drift, though PSI is above its mean under no change; and drift that bins over the range
    // of the data cannot see.
    let p = |column: &str| of_feature(&findings, "psi", column).p_value.unwrap();
    assert!(p("AveBedrms") > 0.05 && p("AveOccup") < 1e-30, "{} {}", p("AveBedrms"), p("AveOccup"));
}
