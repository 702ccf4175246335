//! The forest on made-up rows, where what is odd is known: order, seeds, reasons, files.

use super::random::Random;
use super::*;

/// Two features: 500 rows around the origin.
fn cloud() -> Vec<f32> {
    let mut random = Random::new(1, 1);
    // A sum of uniform numbers is near enough to a normal one.
    let mut normal = || ((0..12).map(|_| random.unit()).sum::<f64>() - 6.0) as f32;
    (0..1_000).map(|_| normal()).collect()
}

fn forest(seed: u64) -> Forest {
    Forest::grow(&cloud(), 2, Options { seed, ..Options::default() }).unwrap()
}

#[test]
fn the_average_path_is_the_exact_harmonic_one() {
    assert!((average_path(256) - 10.248_689_925_634_562).abs() < 1e-12);
    assert_eq!([average_path(0), average_path(1), average_path(2)], [0.0, 0.0, 1.0]);
}

#[test]
fn keys_are_in_the_order_of_the_values() {
    let values = [f32::MIN, -3.5, -1e-40, 0.0, 1e-40, 0.1, 7.0, f32::MAX];
    assert!(values.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
    assert_eq!(key(-0.0), key(0.0));
    assert_eq!(key(f32::INFINITY), key(f32::MAX));
    assert_eq!((key(f32::NEG_INFINITY), key(f32::NAN)), (key(f32::MIN), key(f32::MIN)));
    assert!(key(f32::MAX) < NO_CUT.threshold, "nothing goes right where there is no cut");
}

#[test]
fn a_row_far_out_scores_above_all_others_and_one_in_the_middle_below_most() {
    let forest = forest(0);
    let scores = forest.scores(&cloud());
    let [far, middle] = forest.scores(&[9.0, -9.0, 0.0, 0.0])[..] else { panic!("two rows") };
    assert!(scores.iter().all(|score| *score <= far), "{far}");
    assert!(scores.iter().filter(|score| **score > middle).count() > 400, "{middle}");
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
}

#[test]
fn a_fixed_seed_gives_the_same_scores_in_every_build() {
    assert_eq!(forest(3), forest(3));
    assert_ne!(forest(3), forest(4));
    let scores = forest(3).scores(&[9.0, -9.0, 0.0, 0.0, 1.5, 0.25]);
    // To the bit: another platform, compiler or version must not move a row into another cell.
    assert_eq!(scores, [0.7215093045461811, 0.40275699300527623, 0.4745953069372002]);
}

#[test]
fn a_row_scores_the_same_alone_and_among_others() {
    let (forest, rows) = (forest(0), cloud());
    let together = forest.scores(&rows);
    for size in [1, 7, 16, 17] {
        let apart: Vec<f64> = rows.chunks(2 * size).flat_map(|rows| forest.scores(rows)).collect();
        assert_eq!(apart, together);
    }
}

#[test]
fn the_reason_is_the_feature_that_is_far_out() {
    let forest = forest(0);
    let drops = forest.score_drops(&[0.1, 25.0], &[0.0, 0.0]);
    assert!(drops[1] > 0.1 && drops[0] < 0.05, "{drops:?}");
    assert_eq!(forest.strongest(&[0.1, 25.0], &[0.0, 0.0]), Some(1));
    assert_eq!(forest.strongest(&[0.0, 0.0], &[0.0, 0.0]), None, "nothing to replace");
}

#[test]
fn a_drop_is_the_difference_of_two_scores() {
    let forest = forest(0);
    let (row, neutral) = ([2.0, -4.0], [0.25, 0.5]);
    let [whole, first, second] = forest.scores(&[2.0, -4.0, 0.25, -4.0, 2.0, 0.5])[..] else {
        panic!("three rows")
    };
    assert_eq!(forest.score_drops(&row, &neutral), [whole - first, whole - second]);
}

#[test]
fn too_little_to_grow_from_gives_no_forest_and_odd_values_no_panic() {
    let grow = |rows: &[f32], dimensions, options| Forest::grow(rows, dimensions, options);
    let options = Options::default();
    assert_eq!(grow(&[], 3, options), None);
    assert_eq!(grow(&[1.0, 2.0], 2, options), None, "one row");
    assert_eq!(grow(&[1.0], 0, options), None);
    assert_eq!(grow(&[1.0; 4], 2, Options { trees: 0, ..options }), None);
    assert_eq!(grow(&[1.0; 4], 2, Options { samples: 1, ..options }), None);
    // Constant rows cannot be cut: all are alike, and alike are ordinary.
    let constant = grow(&[1.0; 400], 2, options).unwrap();
    let scores = constant.scores(&[1.0, 1.0, 50.0, 50.0]);
    assert!(scores.iter().all(|score| (score - 0.5).abs() < 1e-6), "{scores:?}");
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0.0, -0.0, f32::MIN, 1.0];
    let forest = grow(&odd, 1, options).unwrap();
    assert!(forest.scores(&odd).iter().all(|score| score.is_finite()));
}

#[test]
fn a_forest_comes_back_from_its_file_and_a_changed_one_is_refused() {
    let forest = forest(0);
    let text = serde_json::to_string(&forest).unwrap();
    assert!(text.len() < 500_000, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<Forest>(&text).unwrap(), forest);
    let with = |key: &str, value: serde_json::Value| {
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json[key] = value;
        serde_json::from_value::<Forest>(json).unwrap_err().to_string()
    };
    assert!(with("dimensions", 1.into()).contains("cuts feature 1"));
    assert!(with("dimensions", 0.into()).contains("outside what is supported"));
    assert!(with("trees", 99.into()).contains("bytes, not"));
    assert!(with("trees", u64::MAX.into()).contains("outside"));
    assert!(with("leaves", "?".into()).contains("not base64"));
    // Nothing but ones: 102,400 bytes, the last of them alone in its group.
    let long = "////".repeat(100 * 256 * 4 / 3) + "/w==";
    assert!(with("leaves", long.into()).contains("longer than its trees allow"));
}
