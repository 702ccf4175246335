//! Traffic against its scenario. Statistical tests have fixed seeds and margins of many standard
//! errors: they fail when the generator is wrong, never by chance.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

const START: EventTime = EventTime::from_millis(1_795_341_600_000);

/// A scenario thin enough to read whole.
fn thin() -> Scenario {
    Scenario { rate: 100.0, ..Scenario::default() }
}

fn minute(event_time: EventTime) -> f64 {
    (event_time.as_millis() - START.as_millis()) as f64 / 60_000.0
}

/// All readable records up to `until` minutes; a rollback is obeyed at `rollback` minutes.
fn records(scenario: Scenario, seed: u64, until: f64, rollback: Option<f64>) -> Vec<(Stamp, Value)> {
    let mut traffic = Traffic::new(scenario, seed, START);
    let (mut records, mut out) = (Vec::new(), Vec::new());
    while minute(traffic.clock()) < until {
        if rollback.is_some_and(|rollback| minute(traffic.clock()) >= rollback) {
            traffic.obey_rollback(V1);
        }
        let stamp = traffic.next_record(&mut out);
        if stamp.fault.is_none() {
            // A bare NaN is no JSON; such a record is one of the usable faults, and counts for nothing here.
            if let Ok(value) = serde_json::from_slice(&out) {
                records.push((stamp, value));
            }
        }
    }
    records
}

fn number(record: &Value, pointer: &str) -> f64 {
    record.pointer(pointer).and_then(Value::as_f64).unwrap()
}

fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

/// Share of records with `is` among those with `of`.
fn share<'a>(
    records: impl IntoIterator<Item = &'a (Stamp, Value)>,
    of: impl Fn(&Value) -> bool,
    is: impl Fn(&Value) -> bool,
) -> f64 {
    let (mut all, mut those) = (0.0, 0.0);
    for (_, record) in records {
        if of(record) {
            all += 1.0;
            those += f64::from(u8::from(is(record)));
        }
    }
    those / all
}

fn approval(records: &[(Stamp, Value)], version: &str, sex: &str, minutes: std::ops::Range<f64>) -> f64 {
    share(
        records.iter().filter(|(stamp, _)| minutes.contains(&minute(stamp.event_time))),
        |record| record["version"] == version && record["applicant"]["sex"] == sex,
        |record| record["prediction"] == "approved",
    )
}

#[test]
fn the_same_seed_and_calls_give_the_same_bytes_and_another_seed_does_not() {
    let run = |seed| {
        let mut traffic = Traffic::new(thin(), seed, START);
        let (mut all, mut out) = (Vec::new(), Vec::new());
        for number in 0..110_000 {
            if number == 105_000 {
                assert!(traffic.obey_rollback(V1));
            }
            let stamp = traffic.next_record(&mut out);
            all.extend_from_slice(format!("{stamp:?}").as_bytes());
            all.extend_from_slice(&out);
        }
        all
    };
    let first = run(7);
    assert!(first == run(7), "the same seed gave other bytes");
    assert!(first != run(8), "another seed gave the same bytes");
}

#[test]
fn a_record_has_the_fields_that_the_configuration_maps() {
    let (stamp, record) = records(thin(), 1, 0.1, None).remove(0);
    for (pointer, kind) in [
        ("/model", "text"),
        ("/version", "text"),
        ("/request_id", "text"),
        ("/features/income", "number"),
        ("/features/debt_ratio", "number"),
        ("/features/credit_lines", "number"),
        ("/features/age", "number"),
        ("/features/employment", "text"),
        ("/features/region", "text"),
        ("/applicant/sex", "text"),
        ("/applicant/race", "text"),
        ("/channel", "text"),
        ("/score", "number"),
        ("/prediction", "text"),
        ("/latency_ms", "number"),
    ] {
        let value = record.pointer(pointer).unwrap_or(&Value::Null);
        assert!(if kind == "text" { value.is_string() } else { value.is_number() }, "{pointer}: {value}");
    }
    assert_eq!(record["ts"].as_str().unwrap().parse::<EventTime>(), Ok(stamp.event_time));
}

#[test]
fn healthy_traffic_has_the_rates_of_the_scenario() {
    let all = records(thin(), 2, 6.0, None);
    let (women, men) = (approval(&all, V1, "F", 0.0..6.0), approval(&all, V1, "M", 0.0..6.0));
    assert!((women - 0.60).abs() < 0.02, "{women}");
    assert!((men - 0.62).abs() < 0.02, "{men}");
    let v1 = share(&all, |_| true, |record| record["version"] == V1);
    assert_eq!(v1, 1.0);
    let women = share(&all, |_| true, |record| record["applicant"]["sex"] == "F");
    assert!((women - 0.5).abs() < 0.02, "{women}");
    let smallest = share(&all, |_| true, |record| record["applicant"]["race"] == "other");
    assert!((smallest - 0.12).abs() < 0.01, "{smallest}");
    let labelled = share(&all, |_| true, |record| record["label"].is_boolean());
    assert!((labelled - 0.7).abs() < 0.02, "{labelled}");
    let income: Vec<f64> =
        all.iter().filter_map(|(_, record)| record["features"]["income"].as_f64()).map(f64::ln).collect();
    let (mean, sd) = mean_and_sd(&income);
    assert!((mean - 10.65).abs() < 0.02 && (sd - 0.45).abs() < 0.01, "{mean} {sd}");
}

#[test]
fn scores_are_calibrated_and_predictions_follow_from_them() {
    let all = records(thin(), 3, 6.0, None);
    let (mut scored, mut repaid) = ([0.0; 5], [0.0; 5]);
    let mut n = [0.0; 5];
    for (_, record) in &all {
        let score = number(record, "/score");
        // A score that rounds to the threshold may have been on either side of it.
        if (score - 0.5).abs() > 1e-3 {
            assert_eq!(record["prediction"] == "approved", score > 0.5, "{record}");
        }
        if let Some(label) = record["label"].as_bool() {
            let bin = ((score * 5.0) as usize).min(4);
            n[bin] += 1.0;
            scored[bin] += score;
            repaid[bin] += f64::from(u8::from(label));
        }
    }
    for bin in 0..5 {
        assert!(((scored[bin] - repaid[bin]) / n[bin]).abs() < 0.03, "bin {bin} of {}", n[bin]);
    }
}

#[test]
fn the_upstream_change_moves_two_features_by_half_a_standard_deviation_and_nothing_else() {
    let all = records(thin(), 4, 14.0, None);
    let column = |pointer: &str, minutes: std::ops::Range<f64>| -> Vec<f64> {
        all.iter()
            .filter(|(stamp, _)| minutes.contains(&minute(stamp.event_time)))
            .filter_map(|(_, record)| record.pointer(pointer)?.as_f64())
            .map(|value| if pointer.ends_with("income") { value.ln() } else { value })
            .collect()
    };
    for (pointer, expected) in [
        ("/features/income", 0.5),
        ("/features/debt_ratio", 0.5),
        ("/features/credit_lines", 0.0),
        ("/features/age", 0.0),
        ("/features/savings", 0.0),
        ("/score", 0.0),
    ] {
        let (before, sd) = mean_and_sd(&column(pointer, 0.0..6.0));
        let (during, _) = mean_and_sd(&column(pointer, 6.0..12.0));
        let (after, _) = mean_and_sd(&column(pointer, 12.0..14.0));
        assert!(((during - before) / sd - expected).abs() < 0.06, "{pointer}: {before} to {during}, sd {sd}");
        assert!(((after - before) / sd).abs() < 0.06, "{pointer}: {before} to {after}, sd {sd}");
    }
    let ratio = approval(&all, V1, "F", 6.0..12.0) / approval(&all, V1, "M", 6.0..12.0);
    assert!((ratio - 0.968).abs() < 0.04, "{ratio}");
}

#[test]
fn the_rollout_is_unfair_until_it_is_rolled_back_and_fair_when_it_returns() {
    let all = records(thin(), 5, 28.0, Some(18.5));
    let v2 = |minutes: std::ops::Range<f64>| {
        share(
            all.iter().filter(|(stamp, _)| minutes.contains(&minute(stamp.event_time))),
            |_| true,
            |record| record["version"] == V2,
        )
    };
    for (minutes, expected) in [
        (0.0..16.0, 0.0),
        (16.0..17.0, 0.1),
        (17.0..18.0, 0.25),
        (18.0..18.5, 0.5),
        (18.5..22.5, 0.0),
        (22.5..28.0, 0.5),
    ] {
        let share = v2(minutes.clone());
        assert!((share - expected).abs() < 0.04, "{minutes:?}: {share}");
        assert!(expected > 0.0 || share == 0.0, "{minutes:?}: {share}");
    }
    let ratio = |version, minutes: std::ops::Range<f64>| {
        approval(&all, version, "F", minutes.clone()) / approval(&all, version, "M", minutes)
    };
    assert!((ratio(V2, 16.0..18.5) - 0.6).abs() < 0.07, "{}", ratio(V2, 16.0..18.5));
    assert!((ratio(V1, 16.0..22.5) - 0.968).abs() < 0.05, "{}", ratio(V1, 16.0..22.5));
    assert!((ratio(V2, 22.5..28.0) - 0.968).abs() < 0.06, "{}", ratio(V2, 22.5..28.0));
}

#[test]
fn only_a_rollback_of_the_rollout_to_the_first_version_is_obeyed_and_only_once() {
    let mut traffic = Traffic::new(thin(), 6, START);
    let mut out = Vec::new();
    assert!(!traffic.obey_rollback(V1), "nothing is rolled out yet");
    while traffic.phase() != Phase::Rollout(0.25) {
        traffic.next_record(&mut out);
    }
    assert!(!traffic.obey_rollback(V2));
    assert!(!traffic.obey_rollback("v0"));
    assert!(traffic.obey_rollback(V1));
    assert_eq!(traffic.phase(), Phase::RolledBack);
    assert!(!traffic.obey_rollback(V1));
}

#[test]
fn faults_are_as_frequent_and_as_broken_as_they_are_said_to_be() {
    let scenario = Scenario { fault_share: 0.01, ..Scenario::default() };
    let mut traffic = Traffic::new(scenario, 9, START);
    let (mut out, mut reasons) = (Vec::new(), BTreeMap::new());
    for _ in 0..100_000 {
        let Some(reason) = traffic.next_record(&mut out).fault else {
            let text = String::from_utf8_lossy(&out);
            assert!(text.contains("NaN") || serde_json::from_str::<Value>(&text).is_ok());
            continue;
        };
        *reasons.entry(reason).or_insert(0) += 1;
        let read = serde_json::from_slice::<Value>(&out).ok();
        let field = |name: &str| read.as_ref().and_then(|value| value.get(name)).cloned();
        let broken = match reason {
            RejectReason::Tombstone => out.is_empty(),
            RejectReason::InvalidUtf8 => std::str::from_utf8(&out).is_err(),
            RejectReason::InvalidJson => std::str::from_utf8(&out).is_ok() && read.is_none(),
            RejectReason::NotAnObject => read.is_some_and(|value| value.is_array()),
            RejectReason::UnknownModel => field("model").unwrap() != "credit",
            RejectReason::MissingVersion => field("model").is_some() && field("version").is_none(),
            RejectReason::WrongType => field("version").unwrap().is_object(),
            RejectReason::MissingTime => field("version").is_some() && field("ts").is_none(),
            RejectReason::InvalidTime => field("ts").unwrap().as_str().unwrap().parse::<EventTime>().is_err(),
            RejectReason::FutureTimestamp => field("ts").unwrap().as_str().unwrap().starts_with("2999"),
            other => panic!("nobody plants {other}"),
        };
        assert!(broken, "{reason}: {}", String::from_utf8_lossy(&out));
    }
    assert_eq!(reasons.len(), 10, "{reasons:?}");
    // 10 of 12 kinds of fault make a record unreadable.
    let total: i32 = reasons.values().sum();
    assert!((total - 833).abs() < 150, "{total}");
}

#[test]
fn a_few_records_are_held_up_and_partitions_share_alike() {
    let mut traffic = Traffic::new(Scenario::default(), 10, START);
    let (mut out, mut held_up, mut partitions) = (Vec::new(), 0_i32, [0_i32; 4]);
    for number in 0..200_000 {
        let clock = traffic.clock();
        let stamp = traffic.next_record(&mut out);
        let delay = clock.as_millis() - stamp.event_time.as_millis();
        assert!((0..=12_151).contains(&delay), "{delay}");
        assert!(stamp.event_time >= START);
        // Before the first delay has passed, records are held up at the start only.
        if number > 15_000 && delay > 150 {
            held_up += 1;
        }
        partitions[stamp.partition as usize] += 1;
    }
    assert!((held_up - 370).abs() < 100, "{held_up}");
    assert!(partitions.iter().all(|&n| (n - 50_000).abs() < 2_000), "{partitions:?}");
}

#[test]
fn reference_rows_are_healthy_complete_and_older_than_the_traffic() {
    let lines = reference_rows(&Scenario::default(), 11, START, 5_000);
    let rows: Vec<(Stamp, Value)> = lines
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let value: Value = serde_json::from_slice(line).unwrap();
            let event_time = value["ts"].as_str().unwrap().parse().unwrap();
            (Stamp { event_time, partition: 0, fault: None }, value)
        })
        .collect();
    assert_eq!(rows.len(), 5_000);
    assert!(rows.iter().all(|(stamp, row)| stamp.event_time < START && row["version"] == V1));
    assert_ne!(rows[0].1["features"], records(thin(), 11, 0.01, None)[0].1["features"]);
    let income: Vec<f64> = rows.iter().map(|(_, row)| number(row, "/features/income").ln()).collect();
    assert!((mean_and_sd(&income).0 - 10.65).abs() < 0.04);
}
