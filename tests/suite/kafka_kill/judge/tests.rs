//! A judge that lets everything pass would show nothing, so here it is shown what must not be.

use std::time::Instant;

use serde_json::json;

use super::*;
use crate::kafka_kill::worlds::Worlds;

/// A story of one action, as it should go.
fn good(site: Site) -> Told {
    let (name, id) = (site.name(), "retrain-1");
    let rolled_back = matches!(site, Site::Webhook | Site::Mlflow);
    let outcome = match rolled_back {
        true => json!({"state": "applied", "since": "2026-01-01T00:00:00Z"}),
        false => json!({"state": "applied"}),
    };
    let mut audit = vec![
        json!({"kind": "started"}),
        json!({"kind": "decision", "actions": [{"action": name, "action_id": id}]}),
        json!({"kind": "evidence", "action_ids": [id]}),
        json!({"kind": "intent", "action_id": id}),
        json!({"kind": "accepted", "action_id": id}),
        json!({"kind": "outcome", "action_id": id, "outcome": outcome}),
    ];
    if rolled_back {
        audit.push(json!({"kind": "verified", "action_id": id, "result": "recovered"}));
    }
    number(&mut audit);
    let mut worlds = Worlds::default();
    match site {
        Site::Webhook => drop(worlds.hooks.insert(id.to_owned(), 1)),
        Site::Mlflow => (worlds.alias, worlds.moves) = (1, 1),
        Site::Airflow => drop(worlds.dag_runs.insert(id.to_owned(), 2)),
        Site::Github => {
            worlds.workflow_runs.push((id.to_owned(), Instant::now()));
            worlds.dispatches = 1;
        }
    }
    let requests = vec![(site, site.effect().to_owned())];
    Told { sites: vec![site], person: false, audit, worlds, requests, kills: 1, stops: 0, late: false }
}

fn number(audit: &mut [Value]) {
    for (number, entry) in audit.iter_mut().enumerate() {
        entry["seq"] = json!(number);
    }
}

/// A story with its audit log changed, and numbered again.
fn logged_as(site: Site, change: impl FnOnce(&mut Vec<Value>)) -> Told {
    let mut told = good(site);
    change(&mut told.audit);
    number(&mut told.audit);
    told
}

#[test]
fn what_is_as_it_should_be_is_counted() {
    for site in Site::ALL {
        let tally = judge(&good(site)).unwrap();
        assert_eq!((tally.effects(), tally.applied, tally.repeated), (1, 1, 0), "{site:?}");
    }
}

#[test]
fn a_second_effect_is_found_at_each_site() {
    for site in Site::ALL {
        let mut told = good(site);
        match site {
            Site::Webhook => drop(told.worlds.hooks.insert("another".to_owned(), 1)),
            Site::Mlflow => told.worlds.moves = 2,
            Site::Airflow => drop(told.worlds.dag_runs.insert("another".to_owned(), 0)),
            Site::Github => told.worlds.workflow_runs.push(("retrain-1".to_owned(), Instant::now())),
        }
        judge(&told).unwrap_err();
    }
}

#[test]
fn an_effect_that_is_missing_is_found_where_it_is_claimed() {
    for site in Site::ALL {
        let mut told = good(site);
        told.worlds = Worlds::default();
        judge(&told).unwrap_err();
    }
}

#[test]
fn a_repetition_is_counted_where_it_is_harmless_and_found_where_it_is_not() {
    for site in Site::ALL {
        let mut told = good(site);
        told.requests.push((site, site.effect().to_owned()));
        match site {
            Site::Github => drop(judge(&told).unwrap_err()),
            _ => assert_eq!(judge(&told).unwrap().repeated, 1, "{site:?}"),
        }
    }
}

#[test]
fn what_somebody_else_wrote_must_stay() {
    let mut told = good(Site::Mlflow);
    told.worlds.overwritten = 1;
    judge(&told).unwrap_err();
    let mut told = good(Site::Mlflow);
    (told.person, told.worlds.alias) = (true, 3);
    judge(&told).unwrap();
    told.worlds.alias = 1;
    judge(&told).unwrap_err();
}

#[test]
fn a_log_that_lacks_repeats_or_turns_round_what_it_must_say_is_found() {
    for site in Site::ALL {
        for at in [2, 3, 5] {
            judge(&logged_as(site, |audit| drop(audit.remove(at)))).unwrap_err();
            let twice = logged_as(site, |audit| audit.insert(at, audit[at].clone()));
            judge(&twice).unwrap_err();
        }
        judge(&logged_as(site, |audit| audit.swap(2, 3))).unwrap_err();
        judge(&logged_as(site, |audit| audit.swap(3, 5))).unwrap_err();
        let mut gap = good(site);
        gap.audit[5]["seq"] = json!(6);
        judge(&gap).unwrap_err();
    }
}

#[test]
fn what_was_done_without_an_intent_is_found() {
    let mut told = logged_as(Site::Mlflow, |audit| {
        audit.truncate(6);
        audit[5]["outcome"] = json!({"state": "suppressed"});
        audit.drain(3..5);
    });
    (told.person, told.worlds.alias) = (true, 3);
    judge(&told).unwrap_err();
    (told.worlds.moves, told.requests) = (0, vec![]);
    judge(&told).unwrap();
}
