//! Rows of a credit model as NDJSON: twelve numeric and four categorical features, two protected
//! attributes, a score, a prediction, and a label for three rows in five; about 405 bytes each.
//! From row seven in ten on, six features, one null rate and one category mix have moved. The same
//! seed gives the same bytes.

use std::io::Write;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Beta, Distribution, Exp, LogNormal, Normal, Poisson, StudentT};

/// Event time of the first row, milliseconds since the epoch; about a thousand rows a second follow.
const START: i64 = 1_760_000_000_000;

/// Writes `rows` rows, a line each. With `drift`, the last three tenths have drifted.
pub(super) fn write(out: &mut impl Write, rows: usize, seed: u64, drift: bool) -> std::io::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut time = START as f64;
    let gap = Exp::new(1.0).expect("a positive rate");
    for number in 0..rows {
        time += gap.sample(&mut rng);
        let delay = if rng.random_bool(0.005) { rng.random_range(0..5_000) } else { 0 };
        let drifted = drift && number >= rows / 10 * 7;
        row(out, number, time as i64 - delay, drifted, &mut rng)?;
    }
    Ok(())
}

/// The rows in memory, each without its line end.
pub(super) fn lines(rows: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut text = Vec::new();
    write(&mut text, rows, seed, false).expect("memory takes everything");
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

fn row(
    out: &mut impl Write,
    number: usize,
    time: i64,
    drifted: bool,
    rng: &mut ChaCha8Rng,
) -> std::io::Result<()> {
    let moved = if drifted { 1.0 } else { 0.0 };
    let numbers = numbers(moved, rng);
    let sex = pick(&["F", "M"], &[0.48, 0.52], rng);
    let race = pick(&["A", "B", "C", "D", "E"], &[0.55, 0.20, 0.12, 0.08, 0.05], rng);
    let country: &[f64] = if drifted { &[0.25, 0.25, 0.2, 0.2, 0.1] } else { &[0.4, 0.3, 0.15, 0.1, 0.05] };

    let odds = 0.8 * numbers[0] - 0.5 * numbers[1] + 0.3 * (numbers[2].ln() - 8.0) - 0.4;
    // The model is unfair to one sex and two groups; what turns out to be true is not.
    let unfair = if sex == "F" { 0.25 } else { 0.0 } + if race == "B" || race == "C" { 0.4 } else { 0.0 };
    let logistic = |odds: f64| 1.0 / (1.0 + (-odds).exp());
    let score = logistic(odds - unfair);
    let positive = u8::from(score >= 0.5);
    let version = if number.is_multiple_of(10) { "v4" } else { "v3" };

    write!(
        out,
        r#"{{"model":"credit-risk","version":"{version}","request_id":"req-{number:09x}","ts":{time},"score":{score:.6},"prediction":{positive}"#
    )?;
    match rng.random_bool(0.6) {
        true => write!(out, r#","label":{}"#, u8::from(rng.random_bool(logistic(odds))))?,
        false => write!(out, r#","label":null"#)?,
    }
    write!(out, r#","features":{{"#)?;
    for (index, value) in numbers.iter().enumerate() {
        let missing = match index {
            4 => 0.01,
            9 if drifted => 0.08,
            9 => 0.02,
            _ => 0.0,
        };
        match missing > 0.0 && rng.random_bool(missing) {
            true => write!(out, r#""f{index:02}":null,"#)?,
            false => write!(out, r#""f{index:02}":{value:?},"#)?,
        }
    }
    write!(
        out,
        r#""c0":"{}","c1":"{}","c2":"seg{}","c3":"merch{:02}"}},"protected":{{"sex":"{sex}","race":"{race}"}}}}"#,
        pick(&["web", "app"], &[0.6, 0.4], rng),
        pick(&["US", "DE", "FR", "GB", "BR"], country, rng),
        harmonic(12, rng),
        harmonic(50, rng),
    )?;
    out.write_all(b"\n")
}

/// The numeric features, rounded to six decimals as logs have them.
fn numbers(moved: f64, rng: &mut ChaCha8Rng) -> [f64; 12] {
    const WHY: &str = "the parameters are constants in range";
    let mut normal = |mean: f64, sd: f64| Normal::new(mean, sd).expect(WHY).sample(rng);
    let (shifted, wider, subtle, stable) = (
        normal(0.5 * moved, 1.0),
        normal(0.0, 1.0 + 0.5 * moved),
        normal(0.1 * moved, 1.0),
        normal(100.0, 15.0),
    );
    let (left, right) = (normal(-2.0, 0.5), normal(2.0, 0.5));
    let numbers = [
        shifted,
        wider,
        LogNormal::new(8.0 + 0.25 * moved, 0.6).expect(WHY).sample(rng),
        subtle,
        Exp::new(1.0 / 30.0).expect(WHY).sample(rng),
        Poisson::new(4.0 + moved).expect(WHY).sample(rng),
        f64::from(rng.random_range(18_u8..90)),
        if rng.random_bool(0.5 + 0.2 * moved) { left } else { right },
        Beta::new(2.0, 5.0).expect(WHY).sample(rng),
        stable,
        StudentT::new(3.0).expect(WHY).sample(rng),
        rng.random::<f64>(),
    ];
    numbers.map(|number: f64| (number * 1e6).round() / 1e6)
}

fn pick<'a>(values: &[&'a str], shares: &[f64], rng: &mut ChaCha8Rng) -> &'a str {
    let mut left = rng.random::<f64>();
    for (value, share) in values.iter().zip(shares) {
        left -= share;
        if left < 0.0 {
            return value;
        }
    }
    values[values.len() - 1]
}

/// A number below `n`, each half as likely, a third as likely ... as the first.
fn harmonic(n: usize, rng: &mut ChaCha8Rng) -> usize {
    let total: f64 = (1..=n).map(|k| 1.0 / k as f64).sum();
    let mut left = rng.random::<f64>() * total;
    for k in 1..=n {
        left -= 1.0 / k as f64;
        if left < 0.0 {
            return k - 1;
        }
    }
    n - 1
}
