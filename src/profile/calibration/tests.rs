//! What a calibration's file keeps, what it refuses, and where it does not fit.

use super::*;

fn calibration() -> Calibration {
    let measured = |part, side, hourly| Measured {
        part,
        side,
        reference: 0.11,
        mean: 0.1,
        cycle: 0.01,
        sd: 0.004,
        tolerance: 0.022,
        hourly,
        widest: "v1".into(),
        panes: 4000,
    };
    let scoped = |scope, metric, components| Scoped { scope, metric, components };
    let income = Scope::Feature { feature: "income \"x\"".into() };
    let group = Scope::Group { group: "sex".into(), values: vec!["F".into()] };
    Calibration {
        format: FORMAT.into(),
        model: "credit".into(),
        profile: "sha256:1".into(),
        pane_millis: 300_000,
        reference_error: 5e-5,
        from: EventTime::from_millis(0),
        until: EventTime::from_millis(300_000),
        rows: 9,
        panes: 4000,
        versions: vec!["v1".into()],
        hourly: true,
        warnings: vec!["short".into()],
        checks: BTreeMap::from([
            (
                "drift".into(),
                vec![scoped(
                    income,
                    Metric::Psi,
                    vec![
                        measured(Part::Cell(0), Side::Above, None),
                        measured(Part::UpTo(3), Side::Below, Some(vec![-0.01; HOURS])),
                    ],
                )],
            ),
            (
                "selection".into(),
                vec![
                    scoped(group, Metric::SelectionRate, vec![measured(Part::Whole, Side::Above, None)]),
                    scoped(Scope::Model {}, Metric::SelectionRate, Vec::new()),
                ],
            ),
        ]),
    }
}

#[test]
fn what_is_read_back_is_what_was_written() {
    let made = calibration();
    let text = made.to_text();
    assert_eq!(Calibration::read(text.as_bytes()).unwrap(), made, "{text}");
    assert!(text.lines().any(|line| line.trim_start().starts_with(r#"{"part":{"up_to":3}"#)), "{text}");
}

#[test]
fn wrong_files_are_named() {
    let text = calibration().to_text();
    let error = |text: &str| {
        let error = Calibration::read(text.as_bytes()).unwrap_err();
        format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default())
    };
    assert!(error("nothing").contains("not a calibration"));
    let other = error(&text.replace("calibration/1", "calibration/9"));
    assert!(other.contains("calibration/9") && other.contains("plimsoll calibrate"), "{other}");
    let negative = error(&text.replacen("\"tolerance\":0.022", "\"tolerance\":-0.022", 1));
    assert!(negative.contains("`drift` of income") && negative.contains("cell 0 above"), "{negative}");
    let short = error(&text.replacen("[-0.01,", "[", 1));
    assert!(short.contains("167 hours"), "{short}");
    assert!(error(&text.replacen("\"sd\"", "\"std\"", 1)).contains("std"));
}

#[test]
fn every_misfit_is_told_in_words() {
    let made = calibration();
    let (credit, one) = (ModelId::from("credit"), ProfileHash::from("sha256:1"));
    let now =
        Setting { model: &credit, profile: &one, pane: Duration::from_secs(300), reference_error: 5e-5 };
    let income = Scope::Feature { feature: "income \"x\"".into() };
    let drift = ("drift", Metric::Psi);
    let cell = (Part::Cell(0), Side::Above);
    let found = made.tolerance_of(&now, drift, &income, cell).unwrap();
    assert_eq!(found, Extra { tolerance: 0.022, hourly: None });
    let all = made.tolerances("drift", Metric::Psi).unwrap();
    assert_eq!(all[&(income.to_string(), Part::Cell(0), Side::Above)], found);
    assert_eq!(all.len(), 2);

    let (other, two) = (ModelId::from("other"), ProfileHash::from("sha256:2"));
    let age = Scope::Feature { feature: "age".into() };
    for (result, words) in [
        (made.tolerance_of(&Setting { model: &other, ..now }, drift, &income, cell), "model `credit`"),
        (made.tolerance_of(&Setting { profile: &two, ..now }, drift, &income, cell), "sha256:2 now"),
        (
            made.tolerance_of(&Setting { pane: Duration::from_secs(60), ..now }, drift, &income, cell),
            "panes of 300s, and panes are 60s",
        ),
        (
            made.tolerance_of(&Setting { reference_error: 0.01, ..now }, drift, &income, cell),
            "0.00005, and that is 0.01",
        ),
        (made.tolerance_of(&now, ("nulls", Metric::Psi), &income, cell), "no check `nulls`"),
        (made.tolerance_of(&now, ("drift", Metric::Hellinger), &income, cell), "was psi"),
        (made.tolerance_of(&now, drift, &age, cell), "not calibrated for age"),
        (
            made.tolerance_of(&now, drift, &income, (Part::Cell(0), Side::Below)),
            "not calibrated for cell 0 below",
        ),
    ] {
        let misfit = result.unwrap_err().to_string();
        assert!(misfit.contains(words), "{misfit} should say {words}");
    }
}
