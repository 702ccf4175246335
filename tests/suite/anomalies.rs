//! What the isolation forest finds on public data: its AUROC beside scikit-learn's, and its recall at
//! stated false-positive rates beside the simplest rule that needs no model.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

mod traffic;

use std::fmt::Write;
use std::path::PathBuf;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type, Int8Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use plimsoll::stats::forest::{Forest, Options};

use super::support::shared;

/// Data sets with the distance from the golden AUROC that the mean over the seeds may have.
const SETS: [(&str, f64); 6] = [
    ("breastw", 0.02),
    ("cardio", 0.04),
    ("mammography", 0.02),
    ("pima", 0.02),
    ("shuttle", 0.02),
    ("thyroid", 0.02),
];
const SEEDS: std::ops::Range<u64> = 0..5;

/// Rows of a public data set, and which of them are anomalies.
struct Labelled {
    dimensions: usize,
    rows: Vec<f32>,
    anomalous: Vec<bool>,
}

impl Labelled {
    fn read(name: &str) -> Option<Self> {
        let file = std::fs::File::open(shared(&format!("data/adbench_{name}.parquet"))?).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let (mut dimensions, mut rows, mut anomalous) = (0, Vec::new(), Vec::new());
        for batch in reader {
            let batch = batch.unwrap();
            let columns: Vec<&[f64]> = batch
                .columns()
                .iter()
                .filter(|column| column.data_type() == &DataType::Float64)
                .map(|column| &column.as_primitive::<Float64Type>().values()[..])
                .collect();
            dimensions = columns.len();
            for row in 0..batch.num_rows() {
                rows.extend(columns.iter().map(|values| values[row] as f32));
            }
            let labels = batch.column_by_name("y").unwrap().as_primitive::<Int8Type>();
            anomalous.extend(labels.values().iter().map(|label| *label == 1));
        }
        Some(Self { dimensions, rows, anomalous })
    }

    /// The rows of the given kind, in file order.
    fn rows_of(&self, anomalous: bool) -> Vec<&[f32]> {
        let rows = self.rows.chunks_exact(self.dimensions).zip(&self.anomalous);
        rows.filter(|(_, label)| **label == anomalous).map(|(row, _)| row).collect()
    }
}

/// Chance that an anomaly scores above a normal row, ties counted half.
fn auroc(scores: &[f64], anomalous: &[bool]) -> f64 {
    let mut rows: Vec<(f64, bool)> = scores.iter().copied().zip(anomalous.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut normal_below, mut won, mut anomalies) = (0.0, 0.0, 0.0);
    for equal in rows.chunk_by(|a, b| a.0 == b.0) {
        let here = equal.iter().filter(|(_, label)| *label).count() as f64;
        let normal = equal.len() as f64 - here;
        won += here * (normal_below + normal / 2.0);
        (normal_below, anomalies) = (normal_below + normal, anomalies + here);
    }
    won / (normal_below * anomalies)
}

#[test]
fn the_forest_ranks_anomalies_as_well_as_scikit_learns() {
    let Some(golden) = shared("golden/iforest.json") else { return };
    let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    for (name, tolerance) in SETS {
        let Some(data) = Labelled::read(name) else { return };
        let expected = golden["sets"][name]["roc_auc"]["mean"].as_f64().unwrap();
        let of = |seed| {
            let options = Options { seed, ..Options::default() };
            let forest = Forest::grow(&data.rows, data.dimensions, options).unwrap();
            auroc(&forest.scores(&data.rows), &data.anomalous)
        };
        let found: Vec<f64> = SEEDS.map(of).collect();
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        println!("{name:<12} AUROC {mean:.4} (golden {expected:.4} +- {tolerance}), by seed {found:.4?}");
        assert!((mean - expected).abs() <= tolerance, "{name}: {mean} is not {expected} +- {tolerance}");
    }
}

/// Largest distance of any feature from the mean of `reference`, in its standard deviations: the
/// rule that needs no model.
fn largest_z(reference: &[&[f32]], rows: &[&[f32]]) -> Vec<f64> {
    let n = reference.len() as f64;
    let mean = |feature: usize| reference.iter().map(|row| f64::from(row[feature])).sum::<f64>() / n;
    let means: Vec<f64> = (0..reference[0].len()).map(mean).collect();
    let deviation = |feature: usize| {
        let squares = reference.iter().map(|row| (f64::from(row[feature]) - means[feature]).powi(2));
        (squares.sum::<f64>() / n).sqrt()
    };
    let deviations: Vec<f64> = (0..means.len()).map(deviation).collect();
    let z = |row: &&[f32]| {
        let distances = row.iter().zip(&means).zip(&deviations).map(|((value, mean), deviation)| {
            let distance = (f64::from(*value) - mean).abs();
            if distance == 0.0 { 0.0 } else { distance / deviation }
        });
        distances.fold(0.0, f64::max)
    };
    rows.iter().map(z).collect()
}

/// Share of `anomalies` above the score that a share of at most `rate` of `normal` is above.
fn recall(normal: &[f64], anomalies: &[f64], rate: f64) -> f64 {
    let mut sorted = normal.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let threshold = sorted[(rate * normal.len() as f64) as usize];
    anomalies.iter().filter(|score| **score > threshold).count() as f64 / anomalies.len() as f64
}

/// One line of the table: recall at 1 % and 5 % of forest (mean over the seeds) and baseline.
fn measure(data: &Labelled) -> [f64; 4] {
    let (normal, anomalies) = (data.rows_of(false), data.rows_of(true));
    let (reference, other) = normal.split_at(normal.len() / 2);
    let (train, other_rows, odd_rows) = (reference.concat(), other.concat(), anomalies.concat());
    let mut forest = [0.0; 2];
    for seed in SEEDS {
        let grown = Forest::grow(&train, data.dimensions, Options { seed, ..Options::default() }).unwrap();
        let (ordinary, odd) = (grown.scores(&other_rows), grown.scores(&odd_rows));
        for (sum, rate) in forest.iter_mut().zip([0.01, 0.05]) {
            *sum += recall(&ordinary, &odd, rate) / SEEDS.count() as f64;
        }
    }
    let (ordinary, odd) = (largest_z(reference, other), largest_z(reference, &anomalies));
    [forest[0], recall(&ordinary, &odd, 0.01), forest[1], recall(&ordinary, &odd, 0.05)]
}

#[test]
fn the_documented_recall_is_what_the_forest_finds() {
    let mut table = String::from(
        "| data | normal / anomalies | forest at 1 % | max \\|z\\| at 1 % | forest at 5 % | max \\|z\\| at 5 % |\n\
         |---|---|---|---|---|---|\n",
    );
    for (name, _) in SETS {
        let Some(data) = Labelled::read(name) else { return };
        let anomalies = data.anomalous.iter().filter(|label| **label).count();
        let [forest_1, z_1, forest_5, z_5] = measure(&data);
        let normal = data.anomalous.len() - anomalies;
        writeln!(
            table,
            "| {name} | {normal} / {anomalies} | {forest_1:.3} | {z_1:.3} | {forest_5:.3} | {z_5:.3} |"
        )
        .unwrap();
    }
    println!("{table}");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/anomalies.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- recall -->\n", "<!-- /recall -->");
    let (before, rest) = page.split_once(start).unwrap();
    let (shown, after) = rest.split_once(end).unwrap();
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{start}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(shown, table, "PLIMSOLL_BLESS=1 cargo test --test suite documented_recall");
    }
}
