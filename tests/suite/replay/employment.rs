//! The American employment data: three years of a model in production in the order of time, with a
//! reference year before them, labels that came later, and protected attributes.

use super::*;

/// 365 days do not drift off the calendar within three years: each of these windows holds one
/// first of January, and all rows of a year stand at its first instant.
const YEAR: &str = "365d";

fn model() -> String {
    let categories = ["SCHL", "MAR", "SEX", "RAC1P", "CIT", "RELP"]
        .map(|column| format!("      - {{name: {column}, from: /{column}, type: categorical}}\n"))
        .concat();
    let performance = ["accuracy", "precision", "recall", "f1", "brier"]
        .map(|metric| {
            format!("      - {{name: {metric}, metric: {metric}, window: {YEAR}, slide: {YEAR}}}\n")
        })
        .concat();
    let groups = ["selection_rate", "true_positive_rate_difference", "false_positive_rate_difference"]
        .map(|metric| {
            format!("      - {{name: {metric}, metric: {metric}, window: {YEAR}, slide: {YEAR}}}\n")
        })
        .concat();
    let drift = super::drift::checks(YEAR);
    format!(
        "
topics: [{{name: people, model: '=employment', allowed_lateness: 1s}}]
models:
  - name: employment
    topics: [people]
    task: binary
    version: '=1'
    time: /year
    prediction: /prediction
    score: /predicted_probability
    label: /employed
    profile: reference.json
    features:
      - {{name: AGEP, from: /AGEP, type: numeric}}
{categories}    groups:
      - {{name: sex, from: /SEX}}
      - {{name: race, from: /RAC1P}}
    pane: 1d
    checks:
{drift}{performance}{groups}"
    )
}

/// The analysis rows with their labels joined by id, one JSON object a line.
fn with_labels(stage: &Stage, analysis: &Path, labels: &Path) -> PathBuf {
    #[derive(serde::Deserialize)]
    struct Label {
        id: Value,
        employed: Value,
    }
    #[derive(serde::Deserialize)]
    struct Id {
        id: Value,
    }
    let mut known = BTreeMap::new();
    files::rows(&[labels.to_owned()], &mut |_, _, row| {
        let label: Label = serde_json::from_slice(row).unwrap();
        known.insert(label.id.to_string(), label.employed.to_string());
        ControlFlow::Continue(())
    })
    .unwrap();
    let path = stage.path("employment.ndjson");
    let mut out = BufWriter::new(fs::File::create(&path).unwrap());
    files::rows(&[analysis.to_owned()], &mut |_, _, row| {
        let id: Id = serde_json::from_slice(row).unwrap();
        let open = row.strip_suffix(b"}").unwrap();
        out.write_all(open).unwrap();
        writeln!(out, r#","employed":{}}}"#, known[&id.id.to_string()]).unwrap();
        ControlFlow::Continue(())
    })
    .unwrap();
    out.flush().unwrap();
    path
}

#[test]
fn three_years_of_employment_have_the_performance_drift_and_group_rates_of_other_tools() {
    let (Some(drift), Some(performance), Some(reference), Some(analysis), Some(labels)) = (
        golden("drift.json"),
        golden("performance.json"),
        shared("data/employment_MA_reference.parquet"),
        shared("data/employment_MA_analysis.parquet"),
        shared("data/employment_MA_analysis_labels.parquet"),
    ) else {
        return;
    };
    let stage = Stage::new();
    let config = stage.config(&model());
    let profile = stage.freeze(&config, &[reference]);
    assert_eq!(profile.rows, 68_785);
    let input = with_labels(&stage, &analysis, &labels);
    let (report, findings) = stage.replay(&config, &[input], None);
    assert_eq!(report.accounting.rows, 208_892);

    let of_year = |year: i64| {
        let january = EventTime::from_millis(chrono_days(year) * 86_400_000);
        let holds = |finding: &&Finding| finding.window.start <= january && january < finding.window.end;
        findings.iter().filter(holds).cloned().collect::<Vec<Finding>>()
    };
    let set = &performance["sets"]["employment_MA"];
    for year in [2016, 2017, 2018] {
        let findings = of_year(year);
        let realised = &set["chunks"][year.to_string()]["realised"];
        for metric in ["accuracy", "precision", "recall", "f1"] {
            let finding = of_model(&findings, metric);
            near(finding.value, &realised[metric], RATE, &format!("{year} {metric}"));
            near(finding.expected, &set["reference"][metric], RATE, &format!("reference {metric}"));
        }
        assert_eq!(of_model(&findings, "accuracy").n, realised["n"].as_u64().unwrap());
    }

    let findings = of_year(2018);
    by_sex(&findings, &performance["employment_MA_2018_by_SEX"]);
    let columns = &drift["sets"]["employment_MA"]["columns"];
    super::drift::numeric_column(&findings, "AGEP", &columns["AGEP"]);
    for column in ["SCHL", "MAR", "SEX", "RAC1P", "CIT", "RELP"] {
        categorical_column(&findings, column, &columns[column]);
    }
}

/// Days from the epoch to the first of January.
fn chrono_days(year: i64) -> i64 {
    (year - 1970) * 365 + (year - 1969) / 4
}

fn by_sex(findings: &[Finding], golden: &Value) {
    let found = of_group(findings, "selection_rate", "sex");
    assert_eq!(found.len(), 2, "the reference knows the two values");
    for finding in found {
        let Scope::Group { values, .. } = &finding.scope else { panic!("{finding:?}") };
        let block = &golden[&values[0]];
        near(finding.value, &block["realised"]["selection_rate"], RATE, &values[0]);
        assert_eq!(finding.n, block["n"].as_u64().unwrap());
    }
    for (check, rate) in [("true_positive_rate_difference", "tpr"), ("false_positive_rate_difference", "fpr")]
    {
        let of = |sex: &str| golden[sex]["realised"][rate].as_f64().unwrap();
        let [finding] = of_group(findings, check, "sex")[..] else { panic!("{check}") };
        near(finding.value, &(of("1") - of("2")).abs().into(), RATE, check);
    }
}

fn categorical_column(findings: &[Finding], column: &str, golden: &Value) {
    let (scipy, native) = (&golden["scipy"], &golden["native"]);
    let found = |metric: &str| of_feature(findings, metric, column);
    let value = |metric: &str| found(metric).value;
    near(value("psi"), &native["psi_half_count"], STATISTIC, column);
    near(found("psi").expected, &native["psi_null_mean"], STATISTIC, column);
    near(found("psi").p_value, &native["psi_p_chi2"], PROBABILITY, column);
    near(value("total_variation"), &scipy["tvd"], STATISTIC, column);
    near_relative(value("chi_squared"), &scipy["chi2_contingency"], STATISTIC, column);
    near(found("chi_squared").p_value, &scipy["chi2_p"], PROBABILITY, column);
    near_relative(found("chi_squared").p_value, &scipy["chi2_p"], 1e-6, column);

    // Jensen-Shannon and Hellinger from the golden counts, with the half counts of the definition.
    let shares = |key: &str| -> Vec<f64> {
        let counts: Vec<f64> =
            native[key].as_array().unwrap().iter().map(|count| count.as_f64().unwrap() + 0.5).collect();
        let total: f64 = counts.iter().sum();
        counts.iter().map(|count| count / total).collect()
    };
    let (p, q) = (shares("ref_counts"), shares("cur_counts"));
    let overlap: f64 = p.iter().zip(&q).map(|(p, q)| (p * q).sqrt()).sum();
    near(value("hellinger"), &(1.0 - overlap).sqrt().into(), 1e-7, column);
    let half = |a: f64, b: f64| 0.5 * a * (a / (0.5 * (a + b))).ln();
    let divergence: f64 = p.iter().zip(&q).map(|(p, q)| half(*p, *q) + half(*q, *p)).sum();
    near(value("jensen_shannon"), &divergence.sqrt().into(), 1e-7, column);
    let all = findings.iter().filter(|finding| finding.scope == found("psi").scope).count();
    assert_eq!(all, 5, "{column}: the five drift metrics that are defined for names");
}
