//! The simulation of the promise: it says the same for the same seeds, and it can fail.

use std::process::Command;

use plimsoll::app::simulate::report::{Cell, Report};
use plimsoll::app::simulate::{Error, Options, Scenario, simulate};

use super::support::shared;

/// A look at what takes minutes.
fn quick(only: &[Scenario]) -> Options {
    Options { only: only.to_vec(), seeds: 1, panes: 200, draws: 10, ..Options::default() }
}

/// The number beside the row `name` in any table of the report.
fn beside(report: &Report, name: &str) -> f64 {
    let rows = report.sections.iter().flat_map(|section| &section.tables).flat_map(|table| &table.rows);
    let mut named = rows.filter(|row| row[0] == Cell::from(name));
    let row = named.next().unwrap_or_else(|| panic!("no row {name}"));
    let Cell::Number(number, _) = row[1] else { panic!("{row:?}") };
    number
}

#[test]
fn the_same_seeds_give_the_same_bytes_on_one_thread_and_on_two() {
    let options = quick(&[Scenario::Budget, Scenario::Power, Scenario::Fairness]);
    let bytes = |options: &Options| {
        let report = simulate(options).unwrap();
        [report.text(), report.markdown(), report.json().unwrap()]
    };
    let one = bytes(&Options { threads: 1, ..options.clone() });
    assert_eq!(one, bytes(&Options { threads: 2, ..options.clone() }));
    assert!(one[0].contains("simulation with seeds 1 to 1"), "{}", one[0]);
    let other = bytes(&Options { first_seed: 2, ..options });
    let tables = |text: &str| text.split_once("\n\n").unwrap().1.to_owned();
    assert_ne!(tables(&one[0]), tables(&other[0]), "another seed is another draw");
}

#[test]
fn a_null_that_takes_the_reference_as_exact_alarms_all_the_time_beside_one_that_does_not() {
    let options = quick(&[Scenario::Peers]);
    let report = simulate(&options).unwrap();
    let week = 2_016.0 / options.panes as f64;
    let exact = week * beside(&report, "e-detector, reference taken as exact");
    assert!(exact > 10.0, "{exact} alarms a week");
    let each_window = week * beside(&report, "z-test p < .01");
    // 200 checks times 2016 panes at one per cent and a little more, because counts are whole.
    assert!((3_000.0..6_000.0).contains(&each_window), "{each_window} alarms a week");
    assert_eq!(beside(&report, "plimsoll"), 0.0);
}

#[test]
fn a_calibrated_fleet_whose_rates_wander_is_quiet() {
    let report = simulate(&quick(&[Scenario::BudgetAr1])).unwrap();
    assert!(report.held(), "{}", report.text());
    let tolerances: Vec<f64> = report.sections[0].tables[0]
        .rows
        .iter()
        .map(|row| if let Cell::Number(number, _) = row[2] { number } else { panic!("{row:?}") })
        .collect();
    // Three standard deviations of .01, less what the reference's own error allows.
    assert!(tolerances.iter().all(|tolerance| (0.02..0.04).contains(tolerance)), "{tolerances:?}");
}

#[test]
fn real_rows_in_random_order_raise_no_alarm() {
    let Some(elec) = shared("data/elec.csv") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(elec, folder.path().join("elec.csv")).unwrap();
    let options = Options { data: Some(folder.path().to_owned()), ..quick(&[Scenario::BudgetReal]) };
    let report = simulate(&options).unwrap();
    assert!(report.held(), "{}", report.text());
    let row = &report.sections[0].tables[0].rows[0];
    // 70 panes of 500 follow a reference of 10 000 rows.
    assert_eq!(row[..3], [Cell::from("Elec2"), Cell::Count(7), Cell::Count(3)]);
}

#[test]
fn real_data_that_are_asked_for_and_missing_are_an_error() {
    let options = quick(&[Scenario::BudgetReal]);
    assert!(matches!(simulate(&options), Err(Error::NoData)));
    let folder = tempfile::tempdir().unwrap();
    let options = Options { data: Some(folder.path().to_owned()), ..options };
    assert!(matches!(simulate(&options), Err(Error::EmptyData { .. })));
    assert!(matches!(simulate(&Options { seeds: 0, ..options }), Err(Error::Empty)));
}

#[test]
fn the_command_says_by_its_exit_code_whether_it_could_run() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("simulate").args(arguments).output();
        let output = output.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, _, stderr) = run(&["--only", "budget-real"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--data"), "{stderr}");
    let (code, _, stderr) = run(&["--only", "weather"]);
    assert_eq!(code, Some(64));
    assert!(stderr.contains("budget-ar1"), "the scenarios there are: {stderr}");
    let (code, stdout, stderr) = run(&["--only", "power", "--seeds", "2", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let promises = report["sections"][0]["promises"].as_array().unwrap();
    let held = promises.iter().all(|promise| promise["held"] == true);
    assert_eq!((promises.len(), code), (3, Some(if held { 0 } else { 2 })), "{stdout}");
    assert!(stderr.contains("power, sd x 1.2: done"), "progress goes to standard error: {stderr}");
}
