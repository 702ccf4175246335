//! Pipelines of build servers, most of which would do a thing twice: what was started is found again, and
//! what cannot be found is never called absent.

use plimsoll::action::{ArgoWorkflows, Gitlab, Target};
use plimsoll::safety::{Abilities, ActionKind, Idempotency, Reply, Step, Suppression};
use serde_json::json;

use super::super::targets::stub::{self, Stub};
use super::super::targets::{ID, ask, call, clock};
use super::jenkins_world::JenkinsWorld;
use super::worlds::{ArgoWorld, GithubWorld, GitlabWorld, run};
use super::{Setting, argo_workflows_config, barred, gitlab_config, poll, submit, taken, target};

const KIND: ActionKind = ActionKind::Retrain;

#[test]
fn a_run_of_github_is_started_followed_and_stopped() {
    let (stub, world) = run(GithubWorld::default());
    let github = target("github", &Setting::at(&stub.url()));
    assert_eq!(github.idempotency(), Idempotency::Unkeyed);
    assert_eq!(ask(&*github, &Step::Preflight, &call(KIND)), Reply::Clear);
    assert_eq!(taken(&submit(&*github, KIND)), "101");
    let dispatched = stub.seen().into_iter().find(|seen| seen.method == "POST").unwrap();
    assert_eq!(dispatched.headers["authorization"], "Bearer hunter2-github");
    assert_eq!(
        dispatched.json(),
        json!({"ref": "main", "return_run_details": true, "inputs": {"action_id": ID, "model": "credit"}})
    );
    assert_eq!(poll(&*github, KIND, "101"), Reply::Running { detail: "queued".into() });
    world.lock().unwrap().ended("success");
    assert!(matches!(poll(&*github, KIND, "101"), Reply::Succeeded { .. }));
    world.lock().unwrap().ended("cancelled");
    assert_eq!(poll(&*github, KIND, "101"), Reply::Failed { why: "the run ended as cancelled".into() });
    assert!(matches!(poll(&*github, KIND, "999"), Reply::Failed { .. }));
    let stopped = ask(&*github, &Step::Cancel { reference: "101".into() }, &call(KIND));
    assert!(matches!(stopped, Reply::Succeeded { .. }));
}

#[test]
fn a_run_of_github_whose_reply_was_lost_is_found_by_its_name_however_many_came_after() {
    let (stub, world) = run(GithubWorld::default());
    let github = target("github", &Setting::at(&stub.url()));
    assert_eq!(ask(&*github, &Step::Find, &call(KIND)), Reply::Absent);
    world.lock().unwrap().start(ID);
    for other in 0..70 {
        world.lock().unwrap().start(&format!("retrain-{other}"));
    }
    assert_eq!(taken(&ask(&*github, &Step::Find, &call(KIND))), "101");
    // Only runs since the action are asked for, and only dispatched ones.
    let asked = stub.seen().pop().unwrap().path;
    assert!(asked.contains("created=%3E%3D2026-11-22T09%3A49%3A00Z"), "{asked}");
    assert!(asked.contains("event=workflow_dispatch"), "{asked}");
}

#[test]
fn a_run_that_is_not_among_the_newest_is_not_called_absent() {
    let runs: Vec<_> = (0..30).map(|id| json!({"id": id, "display_title": "other"})).collect();
    let stub =
        Stub::serve(move |_| stub::Reply::json(200, &json!({"total_count": 900, "workflow_runs": runs})));
    let github = target("github", &Setting::at(&stub.url()));
    let reply = ask(&*github, &Step::Find, &call(KIND));
    assert!(matches!(reply, Reply::Retry { doubt: false, .. }), "{reply:?}");
    assert_eq!(stub.seen().len(), 10);
}

#[test]
fn a_server_that_does_not_say_which_run_it_started_is_followed_by_the_runs_name() {
    let (stub, world) = run(GithubWorld { details: false, ..GithubWorld::default() });
    let github = target("github", &Setting::at(&stub.url()));
    let reply = submit(&*github, KIND);
    let reference = taken(&reply);
    assert_eq!(poll(&*github, KIND, reference), Reply::Running { detail: "queued".into() });
    world.lock().unwrap().ended("success");
    assert!(matches!(poll(&*github, KIND, reference), Reply::Succeeded { .. }));
    let cancel = Step::Cancel { reference: reference.into() };
    assert!(matches!(ask(&*github, &cancel, &call(KIND)), Reply::Succeeded { .. }));
    // Dispatched, and no run yet.
    world.lock().unwrap().runs.clear();
    assert_eq!(poll(&*github, KIND, reference), Reply::Running { detail: "dispatched".into() });
    assert!(matches!(ask(&*github, &cancel, &call(KIND)), Reply::Retry { doubt: false, .. }));
}

#[test]
fn a_workflow_that_github_has_disabled_is_not_asked_and_a_limit_is_waited_for() {
    let (stub, _) = run(GithubWorld { state: "disabled_inactivity", ..GithubWorld::default() });
    let github = target("github", &Setting::at(&stub.url()));
    let reply = ask(&*github, &Step::Preflight, &call(KIND));
    assert_eq!(barred(&reply), (Suppression::TargetNotReady, "the workflow is disabled_inactivity"));

    let limited =
        stub::Reply::json(403, &json!({"message": "secondary rate limit"})).with("retry-after", "60");
    let none_left = stub::Reply::status(403).with("x-ratelimit-remaining", "0");
    let stub = Stub::script(vec![limited, none_left, stub::Reply::status(403)]);
    let github = target("github", &Setting::at(&stub.url()));
    let minute = Some(std::time::Duration::from_secs(60));
    assert!(
        matches!(submit(&*github, KIND), Reply::Retry { doubt: false, retry_after, .. } if retry_after == minute)
    );
    assert!(matches!(submit(&*github, KIND), Reply::Retry { doubt: false, retry_after: None, .. }));
    assert!(matches!(submit(&*github, KIND), Reply::Rejected { .. }));
}

#[test]
fn a_pipeline_of_gitlab_is_triggered_with_one_token_and_followed_with_the_other() {
    let (stub, world) = run(GitlabWorld::default());
    let gitlab = target("gitlab", &Setting::at(&stub.url()));
    assert_eq!(ask(&*gitlab, &Step::Find, &call(KIND)), Reply::Absent);
    assert_eq!(taken(&submit(&*gitlab, KIND)), "201");
    let form = world.lock().unwrap().forms[0].clone();
    let expected = [
        ("token", "glptt-hunter2"),
        ("ref", "main"),
        ("variables[MODEL]", "credit"),
        ("variables[PLIMSOLL_ACTION_ID]", ID),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(form, expected);
    let triggered = stub.seen().into_iter().find(|seen| seen.method == "POST").unwrap();
    assert!(!triggered.headers.contains_key("private-token"));
    assert_eq!(taken(&ask(&*gitlab, &Step::Find, &call(KIND))), "201");
    assert_eq!(poll(&*gitlab, KIND, "201"), Reply::Running { detail: "created".into() });
    for (status, ended) in [("success", true), ("failed", false), ("canceled", false), ("skipped", false)] {
        world.lock().unwrap().pipelines[0]["status"] = status.into();
        let reply = poll(&*gitlab, KIND, "201");
        assert!(if ended {
            matches!(reply, Reply::Succeeded { .. })
        } else {
            matches!(reply, Reply::Failed { .. })
        });
    }
    let cancel = Step::Cancel { reference: "201".into() };
    assert!(matches!(ask(&*gitlab, &cancel, &call(KIND)), Reply::Succeeded { .. }));
}

#[test]
fn pipelines_without_names_say_nothing_of_whether_one_is_there() {
    let (stub, world) = run(GitlabWorld::default());
    world.lock().unwrap().start(&json!(null));
    let gitlab = target("gitlab", &Setting::at(&stub.url()));
    let Reply::Retry { why, doubt: false, .. } = ask(&*gitlab, &Step::Find, &call(KIND)) else { panic!() };
    assert!(why.contains("`workflow:name`"), "{why}");
    // Those of before the action do not matter.
    world.lock().unwrap().pipelines[0]["created_at"] = "2026-11-22T09:00:00.000Z".into();
    assert_eq!(ask(&*gitlab, &Step::Find, &call(KIND)), Reply::Absent);
}

#[test]
fn without_a_second_token_a_triggered_pipeline_is_all_that_is_known() {
    let (stub, _) = run(GitlabWorld::default());
    let config = plimsoll::action::gitlab::Config { token: None, ..gitlab_config(&Setting::at(&stub.url())) };
    let gitlab = Gitlab::new(&config, KIND, clock()).unwrap();
    assert_eq!(gitlab.abilities(), Abilities::default());
    assert!(matches!(submit(&gitlab, KIND), Reply::Accepted { done: true, .. }));
    for step in [Step::Find, Step::Poll { reference: "201".into() }, Step::Cancel { reference: "201".into() }]
    {
        assert!(matches!(ask(&gitlab, &step, &call(KIND)), Reply::Rejected { .. }), "{step:?}");
    }
}

#[test]
fn a_build_of_jenkins_is_followed_from_the_queue_to_its_end() {
    let (stub, world) = run(JenkinsWorld::default());
    let jenkins = target("jenkins", &Setting::at(&stub.url()));
    assert_eq!(ask(&*jenkins, &Step::Preflight, &call(KIND)), Reply::Clear);
    assert_eq!(ask(&*jenkins, &Step::Find, &call(KIND)), Reply::Absent);
    assert_eq!(taken(&submit(&*jenkins, KIND)), "queue/301");
    let asked = stub.seen().into_iter().find(|seen| seen.method == "POST").unwrap();
    assert!(asked.headers["authorization"].starts_with("Basic "));
    let waits = Reply::Running { detail: "queued: In the quiet period".into() };
    assert_eq!(poll(&*jenkins, KIND, "queue/301"), waits);
    assert_eq!(taken(&ask(&*jenkins, &Step::Find, &call(KIND))), "queue/301");
    world.lock().unwrap().begin(12, None);
    assert_eq!(poll(&*jenkins, KIND, "queue/301"), Reply::Running { detail: "build 12".into() });
    assert_eq!(taken(&ask(&*jenkins, &Step::Find, &call(KIND))), "build/12");
    // Jenkins forgets the place in the queue; the build is found by its parameter.
    world.lock().unwrap().left.clear();
    assert_eq!(poll(&*jenkins, KIND, "queue/301"), Reply::Running { detail: "build 12".into() });
    for (result, ended) in [("SUCCESS", true), ("UNSTABLE", false), ("FAILURE", false), ("ABORTED", false)] {
        world.lock().unwrap().builds[0].2 = Some(result);
        for reference in ["queue/301", "build/12"] {
            let reply = poll(&*jenkins, KIND, reference);
            assert!(
                if ended {
                    matches!(reply, Reply::Succeeded { .. })
                } else {
                    matches!(reply, Reply::Failed { .. })
                },
                "{result}: {reply:?}"
            );
        }
    }
    for reference in ["queue/301", "build/12"] {
        let stopped = ask(&*jenkins, &Step::Cancel { reference: reference.into() }, &call(KIND));
        assert!(matches!(stopped, Reply::Succeeded { .. }), "{stopped:?}");
        assert!(stub.seen().pop().unwrap().path.ends_with("/job/models/job/act/12/stop"));
    }
    world.lock().unwrap().builds.clear();
    assert!(matches!(poll(&*jenkins, KIND, "queue/301"), Reply::Failed { .. }));
}

#[test]
fn what_was_taken_out_of_the_queue_of_jenkins_has_failed() {
    let (stub, world) = run(JenkinsWorld::default());
    let jenkins = target("jenkins", &Setting::at(&stub.url()));
    assert_eq!(taken(&submit(&*jenkins, KIND)), "queue/301");
    let stop = Step::Cancel { reference: "queue/301".into() };
    assert!(matches!(ask(&*jenkins, &stop, &call(KIND)), Reply::Succeeded { .. }));
    assert_eq!(world.lock().unwrap().cancelled, [301]);
    let failed = Reply::Failed { why: "it was taken out of the queue".into() };
    assert_eq!(poll(&*jenkins, KIND, "queue/301"), failed);
}

#[test]
fn a_job_that_would_drop_the_actions_id_is_not_built() {
    let (stub, world) = run(JenkinsWorld { declared: "OTHER", ..JenkinsWorld::default() });
    let jenkins = target("jenkins", &Setting::at(&stub.url()));
    let reply = ask(&*jenkins, &Step::Preflight, &call(KIND));
    let (reason, why) = barred(&reply);
    assert!(reason == Suppression::TargetNotReady && why.contains("`PLIMSOLL_ACTION_ID`"), "{why}");
    let mut jenkins_world = world.lock().unwrap();
    (jenkins_world.declared, jenkins_world.buildable) = ("PLIMSOLL_ACTION_ID", false);
    drop(jenkins_world);
    let reply = ask(&*jenkins, &Step::Preflight, &call(KIND));
    assert_eq!(barred(&reply).0, Suppression::TargetNotReady);
}

#[test]
fn a_redirect_of_jenkins_is_not_taken_for_a_refusal() {
    // It says that the same waits already, which may be ours.
    let stub = Stub::script(vec![stub::Reply::status(303).with("location", "/job/models/job/act/")]);
    let reply = submit(&*target("jenkins", &Setting::at(&stub.url())), KIND);
    assert!(matches!(reply, Reply::Retry { doubt: true, .. }), "{reply:?}");
}

#[test]
fn a_workflow_of_argo_has_the_actions_id_for_its_name_and_is_submitted_once() {
    let (stub, world) = run(ArgoWorld::default());
    let argo = target("argo_workflows", &Setting::at(&stub.url()));
    assert_eq!(argo.idempotency(), Idempotency::Keyed);
    assert_eq!(ask(&*argo, &Step::Preflight, &call(KIND)), Reply::Clear);
    assert_eq!(ask(&*argo, &Step::Find, &call(KIND)), Reply::Absent);
    // A conflict with our own workflow is a success; there is one workflow whatever is repeated.
    for _ in 0..3 {
        assert_eq!(taken(&submit(&*argo, KIND)), ID);
    }
    assert_eq!(taken(&ask(&*argo, &Step::Find, &call(KIND))), ID);
    assert_eq!(world.lock().unwrap().workflows.len(), 1);
    assert_eq!(poll(&*argo, KIND, ID), Reply::Running { detail: "submitted".into() });
    for (phase, state) in [
        ("Pending", "running"),
        ("Running", "running"),
        ("Succeeded", "succeeded"),
        ("Failed", "failed"),
        ("Error", "failed"),
    ] {
        world.lock().unwrap().workflows[0]["status"] = json!({"phase": phase, "message": "m"});
        let told = match poll(&*argo, KIND, ID) {
            Reply::Running { .. } => "running",
            Reply::Succeeded { .. } => "succeeded",
            Reply::Failed { .. } => "failed",
            other => panic!("{other:?}"),
        };
        assert_eq!(told, state, "{phase}");
    }
    let stopped = ask(&*argo, &Step::Cancel { reference: ID.into() }, &call(KIND));
    assert!(matches!(stopped, Reply::Succeeded { .. }));
    world.lock().unwrap().workflows.clear();
    assert!(matches!(poll(&*argo, KIND, ID), Reply::Failed { .. }));
}

#[test]
fn somebody_elses_workflow_of_the_same_name_is_not_taken_for_ours() {
    let foreign = json!({"metadata": {"name": ID, "labels": {}}, "status": {"phase": "Succeeded"}});
    let (stub, _) = run(ArgoWorld { workflows: vec![foreign], suspended: false });
    let argo = target("argo_workflows", &Setting::at(&stub.url()));
    for step in [Step::Submit, Step::Find, Step::Poll { reference: ID.into() }] {
        let reply = ask(&*argo, &step, &call(KIND));
        assert!(
            matches!(&reply, Reply::Rejected { why } if why.contains("not of plimsoll's making")),
            "{reply:?}"
        );
    }
}

#[test]
fn a_suspended_template_is_not_submitted_and_one_of_the_cluster_is_found_there() {
    let (stub, world) = run(ArgoWorld { workflows: vec![], suspended: true });
    let argo = target("argo_workflows", &Setting::at(&stub.url()));
    let reply = ask(&*argo, &Step::Preflight, &call(KIND));
    assert_eq!(barred(&reply).0, Suppression::TargetNotReady);
    assert!(world.lock().unwrap().workflows.is_empty());

    let stub = Stub::serve(|seen| {
        assert_eq!(seen.path, "/api/v1/cluster-workflow-templates/retrain");
        stub::Reply::json(200, &json!({"spec": {}}))
    });
    let config = plimsoll::action::argo_workflows::Config {
        cluster_scope: true,
        ..argo_workflows_config(&Setting::at(&stub.url()))
    };
    let argo = ArgoWorkflows::new(&config, KIND, clock()).unwrap();
    assert_eq!(ask(&argo, &Step::Preflight, &call(KIND)), Reply::Clear);
}
