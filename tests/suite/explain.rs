//! `plimsoll explain`: alarms of a real run, computed again from the finding alone, told in words, and
//! found out where somebody has changed a number.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, LazyLock};

use plimsoll::api::{self, Readiness};
use plimsoll::app::explaining::{Explained, Explanations, Filter, Whence, alarm_line, explain};
use plimsoll::check::sequential::recompute::{self, recompute_finding};
use plimsoll::domain::sequential::{ComponentEvidence, Rule};
use plimsoll::domain::{Decision, Finding, Verdict};
use plimsoll::engine::view::View;
use plimsoll::telemetry::Telemetry;
use serde_json::Value;

use crate::sequential::{CONFIG, HEALTHY, Run, Traffic};

/// Alarms of every kind: a rate, a distribution, a rate of a group, a pair of groups, and confidence
/// sequences; with the decisions that they led to.
static RUN: LazyLock<(Vec<Finding>, Vec<Decision>)> = LazyLock::new(|| {
    let mut fair_at_first = Run::new(CONFIG);
    fair_at_first.panes(100, HEALTHY, &["v1"]);
    fair_at_first.panes(15, Traffic { women: 0.25, ..HEALTHY }, &["v1"]);
    fair_at_first.panes(15, Traffic { nulls: 0.12, shift: 0.3, ..HEALTHY }, &["v1"]);
    let mut unfair_at_once = Run::new(CONFIG);
    unfair_at_once.panes(15, Traffic { women: 0.25, ..HEALTHY }, &["v2"]);
    let mut both = fair_at_first;
    both.findings.extend(unfair_at_once.findings);
    both.decisions.extend(unfair_at_once.decisions);
    (both.findings, both.decisions)
});

fn is_alarm(finding: &Finding) -> bool {
    finding.sequential.as_ref().is_some_and(|sequential| sequential.evidence.is_some())
}

fn alarms() -> impl Iterator<Item = &'static Finding> {
    RUN.0.iter().filter(|finding| is_alarm(finding))
}

fn rule(finding: &Finding) -> Rule {
    finding.sequential.as_ref().unwrap().evidence.as_ref().unwrap().rule
}

fn alarm(version: &str, check: &str, which: Rule) -> &'static Finding {
    let is = |finding: &&Finding| finding.version.as_str() == version && finding.check == check;
    alarms().filter(is).find(|finding| rule(finding) == which).unwrap()
}

/// One alarm of each kind.
fn kinds() -> [&'static Finding; 5] {
    [
        alarm("v1", "nulls", Rule::EDetector),
        alarm("v1", "drift", Rule::EDetector),
        alarm("v1", "rate", Rule::EDetector),
        alarm("v1", "ratio", Rule::EDetector),
        alarm("v2", "ratio", Rule::ConfidenceSequence),
    ]
}

fn through_json(finding: &Finding) -> Finding {
    serde_json::from_str(&serde_json::to_string(finding).unwrap()).unwrap()
}

#[test]
fn every_alarm_of_a_run_is_computed_again_from_its_finding_also_through_json() {
    let mut seen = 0;
    for finding in alarms() {
        let done = recompute_finding(finding).unwrap().unwrap_or_else(|error| panic!("{error}: {finding:?}"));
        assert!(done.largest_difference <= 1e-12, "{done:?}");
        let evidence = finding.sequential.as_ref().unwrap().evidence.as_ref().unwrap();
        assert_eq!(done.log_e, evidence.log_e_after);
        assert_eq!(recompute::recompute(evidence).unwrap().log_e, evidence.log_e_after);
        assert_eq!(recompute_finding(&through_json(finding)).unwrap().unwrap(), done);
        seen += 1;
    }
    assert!(seen >= 5, "{seen}");
    assert!(kinds().iter().all(|finding| recompute_finding(finding).is_some()));
    assert_eq!(RUN.0.iter().find(|finding| !is_alarm(finding)).and_then(recompute_finding), None);
}

/// Every number under `value`, by its pointer.
fn numbers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| numbers(item, &format!("{at}/{index}"), found));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| numbers(member, &format!("{at}/{name}"), found));
        }
        _ => {}
    }
}

#[test]
fn an_alarm_of_which_any_number_was_changed_is_found_out() {
    // How often the slot was looked at before, and what other slots held, follow from nothing in it.
    let unknowable = |at: &str| at == "/evidence/panes" || at == "/panes" || at.contains("/moved/");
    let mut changed = 0;
    for finding in kinds() {
        let whole = serde_json::to_value(finding).unwrap();
        let mut all = Vec::new();
        numbers(&whole["sequential"], "", &mut all);
        for at in all.iter().filter(|at| !unknowable(at)) {
            let mut other = whole.clone();
            let number = other["sequential"].pointer_mut(at).unwrap();
            *number = match number.as_u64() {
                Some(count) => Value::from(count + 1),
                // What was as good as nothing before the pane is so with one more digit, too.
                None if at.contains("/before/") => Value::from(number.as_f64().unwrap().max(-10.0) + 1e-6),
                None => Value::from(number.as_f64().unwrap() * (1.0 + 1e-7) + 1e-9),
            };
            let Ok(other) = serde_json::from_value::<Finding>(other) else { continue };
            let found = recompute_finding(&other).unwrap();
            assert!(found.is_err(), "{} {at} was changed: {found:?}", finding.check);
            changed += 1;
        }
    }
    assert!(changed > 500, "{changed}");
}

#[test]
fn an_alarm_that_is_none_or_cannot_be_computed_is_found_out() {
    let change = |finding: &Finding, change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(finding).unwrap();
        change(&mut value["sequential"]);
        recompute_finding(&serde_json::from_value(value).unwrap()).unwrap().unwrap_err().to_string()
    };
    let [nulls, drift, _, ratio, certain] = kinds();
    for (finding, said, how) in [
        (
            nulls,
            "without components",
            &(|it: &mut Value| it["evidence"]["components"] = Value::from(Vec::<Value>::new()))
                as &dyn Fn(&mut Value),
        ),
        (nulls, "logarithm per bet", &|it| it["evidence"]["components"][0]["after"] = Value::from(vec![1.0])),
        (nulls, "number of panes", &|it| it["evidence"]["panes"] = Value::from(1)),
        (nulls, "not the one of an alarm", &|it| it["verdict"] = Value::from("pass")),
        (nulls, "without a threshold", &|it| it["evidence"]["log_threshold"] = Value::Null),
        (drift, "ln e before the pane", &|it| {
            it["evidence"]["components"].as_array_mut().unwrap().pop();
        }),
        (ratio, "not the bound of the check", &|it| it["evidence"]["limit"] = Value::from(">= 0.9")),
        (ratio, "are not all pairs", &|it| {
            it["evidence"]["components"].as_array_mut().unwrap().truncate(1);
            // The rest of it made to agree.
            let after = it["evidence"]["components"][0]["after"].as_array().unwrap().clone();
            let before = it["evidence"]["components"][0]["before"].as_array().unwrap().clone();
            let mean = |logs: Vec<Value>| {
                let count = logs.len() as f64;
                let logs = logs.iter().map(|log| log.as_f64().map_or(0.0, f64::exp));
                (logs.sum::<f64>() / count).ln()
            };
            it["evidence"]["log_e_after"] = Value::from(mean(after));
            it["evidence"]["log_e_before"] = Value::from(mean(before));
            it["evidence"]["components"][0]["share"] = Value::from(1.0);
        }),
        (certain, "no two groups", &|it| {
            let (first, second) = (it["evidence"]["groups"][0].clone(), it["evidence"]["groups"][1].clone());
            for name in ["n", "sum", "interval"] {
                it["evidence"]["groups"][0][name] = second[name].clone();
            }
            assert_ne!(first, second);
        }),
        (certain, "more that count than rows", &|it| {
            it["evidence"]["groups"][0]["sum"] = Value::from(1_u64 << 40)
        }),
    ] {
        let error = change(finding, how);
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn an_alarm_that_lost_components_for_want_of_room_is_computed_again_in_part() {
    let mut short = kinds()[1].clone();
    let evidence = short.sequential.as_mut().unwrap().evidence.as_mut().unwrap();
    evidence.components.sort_by(|a, b| b.share.total_cmp(&a.share));
    evidence.omitted = (evidence.components.len() - 4) as u64;
    evidence.components.truncate(4);
    let done = recompute_finding(&short).unwrap().unwrap();
    assert_eq!((done.log_e, done.omitted), (None, 34));
    let text = told(&short);
    assert!(text.contains("leaves out 34 components"), "{text}");
    let change = |how: &dyn Fn(&mut ComponentEvidence)| {
        let mut other = short.clone();
        how(&mut other.sequential.as_mut().unwrap().evidence.as_mut().unwrap().components[1]);
        recompute_finding(&other).unwrap()
    };
    assert!(change(&|component| component.share *= 1.0001).is_err());
    assert!(change(&|component| component.sum[0] += 1.0).is_err());
}

fn told(finding: &Finding) -> String {
    let file = written(&[serde_json::to_value(finding).unwrap()]);
    explain(&Whence::File(file.path().to_owned()), &Filter { all: true, ..Filter::default() })
        .unwrap()
        .to_string()
}

fn written(values: &[Value]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for value in values {
        writeln!(file, "{value}").unwrap();
    }
    file
}

#[test]
fn an_alarm_is_told_in_words_that_say_what_why_and_how_sure() {
    let [nulls, drift, rate, ratio, certain] = kinds();
    for (finding, words) in [
        (
            nulls,
            ["credit@v1 nulls, null rate of x", "is no fault", "0.02 is tolerated", "rate had been at most"],
        ),
        (drift, ["psi of x", "cumulative share", "tolerance had been larger by", "10^"]),
        (rate, ["selection rate of sex:F", "rate below", "rate had been at least", "false alarm"]),
        (
            ratio,
            [
                "selection rate ratio between groups of sex",
                "selection_rate of F under M",
                ">= 0.8",
                "of F had been at least",
            ],
        ),
        (
            certain,
            [
                "credit@v2",
                "intervals that hold at any time",
                "the intervals break the limit",
                "at its highest",
            ],
        ),
    ] {
        let text = told(finding);
        for words in words.iter().chain(&[
            "alarm: ",
            "on average at most one false alarm of this slot in",
            "recomputed",
            "agrees",
        ]) {
            assert!(text.contains(words), "{words} in\n{text}");
        }
        assert!(text.starts_with(&alarm_line(finding).unwrap()));
    }
}

#[test]
fn what_is_said_to_keep_it_silent_does_keep_it_silent() {
    for finding in [kinds()[0], kinds()[1], kinds()[2], kinds()[3]] {
        let file = written(&[serde_json::to_value(finding).unwrap()]);
        let found = explain(&Whence::File(file.path().to_owned()), &Filter::default()).unwrap();
        let silent = found.explained[0].silent_if.clone().unwrap();
        let evidence = finding.sequential.as_ref().unwrap().evidence.as_deref().unwrap();
        let least = evidence.log_threshold.unwrap();
        if let Some(more) = silent.tolerance {
            for (factor, alarms) in [(1.0001, false), (0.999, true)] {
                let mut wider = evidence.clone();
                wider
                    .components
                    .iter_mut()
                    .for_each(|it| it.null[0] = (it.null[0] + factor * more).min(1.0 - 1e-9));
                assert_eq!(recompute::log_e(&wider).unwrap() >= least, alarms, "{} {more}", finding.check);
            }
        }
        if let Some(count) = silent.count.filter(|_| evidence.components.len() == 1) {
            for (step, alarms) in [(0.0, false), (1.0, true)] {
                let mut fewer = evidence.clone();
                let left = if count.at_least { count.n - count.sum } else { count.sum };
                fewer.components[0].sum[0] = left + step;
                assert_eq!(recompute::log_e(&fewer).unwrap() >= least, alarms, "{count:?}");
            }
        }
    }
}

#[test]
fn a_finding_without_an_alarm_says_how_far_it_is_from_one_and_what_it_cannot_see() {
    let of = |check: &str, scope: &str| {
        RUN.0
            .iter()
            .find(|it| it.check == check && it.scope.to_string().starts_with(scope) && !is_alarm(it))
            .unwrap()
    };
    let nulls = told(of("nulls", "x"));
    for words in ["would have to grow", "cannot be seen", "on average at most one false alarm"] {
        assert!(nulls.contains(words), "{words} in\n{nulls}");
    }
    let shadow = told(of("drift", "y"));
    assert!(
        shadow.starts_with("shadow: ") && shadow.contains("never acts: it was never calibrated"),
        "{shadow}"
    );
    let ratio = told(of("ratio", "sex"));
    assert!(ratio.contains("for certain (") && ratio.contains("rows)"), "{ratio}");
    let mut window = of("nulls", "x").clone();
    window.sequential = None;
    window.verdict = Some(Verdict::Breach);
    window.bound = Some("<= 0.1".parse().unwrap());
    let window = told(&window);
    assert!(
        window.contains("no stated error rate") && window.contains("breach against its bound"),
        "{window}"
    );
}

#[test]
fn names_from_the_log_cannot_write_to_the_terminal() {
    let mut finding = kinds()[0].clone();
    finding.version = "v\u{1b}[2J".into();
    let text = told(&finding);
    assert!(!text.contains('\u{1b}'), "{text}");
}

fn command(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .arg("explain")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_command_reads_findings_decisions_and_audit_entries_and_says_by_its_code_whether_they_agree() {
    let all: Vec<String> = RUN.0.iter().map(|finding| serde_json::to_string(finding).unwrap()).collect();
    let all = all.join("\n");
    let count = alarms().count();
    let findings = command(&["-", "--json"], &all);
    assert_eq!(findings.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&findings.stdout).unwrap();
    assert_eq!(document["explained"].as_array().unwrap().len(), count);
    assert_eq!(document["findings"], RUN.0.len());
    assert_eq!(document["explained"][0]["recomputed"]["agrees"], true);

    // A decision, pretty and wrapped as an audit entry.
    let violated = RUN.1.iter().find(|it| it.kind.name() == "violated").unwrap();
    let entry = serde_json::json!({"format": 1, "seq": 3, "kind": "decision", "decision": violated});
    let decided = command(&["-"], &serde_json::to_string_pretty(&entry).unwrap());
    let said = text(&decided.stdout);
    assert_eq!(decided.status.code(), Some(0), "{said}");
    assert!(
        said.contains(&format!("violated by policy {}, decision {}", violated.policy, violated.id)),
        "{said}"
    );

    let filtered =
        command(&["-", "--check", "nulls", "--scope", "x", "--model", "credit", "--version", "v1"], &all);
    assert!(text(&filtered.stdout).contains("null rate of x"));
    assert!(!text(&filtered.stdout).contains("psi of x"));
    let nobody = command(&["-", "--model", "other"], &all);
    assert_eq!(nobody.status.code(), Some(0));
    assert!(text(&nobody.stdout).contains("no alarm to explain"));

    let forged = serde_json::to_string(kinds()[0]).unwrap().replacen("\"sum\":[", "\"sum\":[1", 1);
    let forged = command(&["-"], &forged);
    assert_eq!(forged.status.code(), Some(2), "{}", text(&forged.stdout));
    assert!(text(&forged.stdout).contains("DOES NOT AGREE"), "{}", text(&forged.stdout));

    for (input, said) in
        [("", "holds no finding"), ("{not json", "not JSON"), ("{\"a\": 1}", "holds no finding")]
    {
        let failed = command(&["-"], input);
        assert_eq!(failed.status.code(), Some(1));
        assert!(text(&failed.stderr).contains(said), "{}", text(&failed.stderr));
    }
    assert_eq!(command(&["/nowhere/findings.ndjson"], "").status.code(), Some(1));
}

/// A daemon's HTTP interface over these findings and decisions; ends with the runtime.
fn serve(runtime: &tokio::runtime::Runtime, findings: &[Finding], decisions: &[Decision]) -> String {
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.publish(Arc::new(View {
        recent: findings.iter().cloned().map(Arc::new).collect(),
        decisions: decisions.iter().cloned().map(Arc::new).collect(),
        ..View::default()
    }));
    let listener: TcpListener = api::bind(&api::Config { listen: "127.0.0.1:0".parse().unwrap() }).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(api::serve(listener, telemetry, Readiness::new([]), std::future::pending()));
    format!("http://{address}")
}

#[test]
fn a_running_daemon_is_asked_for_its_findings_and_the_evidence_of_its_decisions() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let count = alarms().count();
    let url = serve(&runtime, &RUN.0, &RUN.1);
    let asked = |url: &str, filter: Filter| -> Explanations {
        explain(&Whence::Daemon(url.to_owned()), &filter).unwrap()
    };
    let all = asked(&url, Filter::default());
    assert_eq!(all.explained.len(), count, "a finding and a decision's evidence are the same alarm");
    assert!(all.agrees());
    let panes = |it: &Explained| it.finding.sequential.as_ref().unwrap().evidence.as_ref().unwrap().pane.end;
    assert!(all.explained.is_sorted_by_key(panes), "newest last");
    assert!(all.explained.iter().any(|it| it.decision.is_some()));
    let version =
        Filter { version: Some("v2".to_owned()), check: Some("ratio".to_owned()), ..Filter::default() };
    assert!(asked(&url, version).explained.iter().all(|it| it.finding.version.as_str() == "v2"));

    // What has left the list of recent findings is still in the decision.
    let bare = serve(&runtime, &[], &RUN.1);
    assert!(!asked(&bare, Filter::default()).explained.is_empty());

    let nobody = serve(&runtime, &[], &[]);
    assert!(asked(&nobody, Filter::default()).to_string().contains("no alarm to explain"));
    let error = explain(&Whence::Daemon("localhost".to_owned()), &Filter::default()).unwrap_err();
    assert!(format!("{error:#}").contains("is no address of a daemon"), "{error:#}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = explain(&Whence::Daemon(format!("http://{closed}")), &Filter::default()).unwrap_err();
    assert!(format!("{error:#}").contains("no answer from http://127.0.0.1"), "{error:#}");
}
