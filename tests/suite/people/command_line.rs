//! The commands for people, through the binary and loopback HTTP.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use plimsoll::engine::view::CommandView;
use plimsoll::safety::Order;
use plimsoll::telemetry::Telemetry;

use super::world::{Server, Token, World, action, hash};

/// Runs plimsoll with these words, and `token` in its environment.
async fn run(server: &Server, token: Option<&Token>, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(words).args(["--url", &format!("http://{}", server.address)]);
    command.env_remove("PLIMSOLL_TOKEN").stdin(Stdio::null());
    if let Some(token) = token {
        command.env("PLIMSOLL_TOKEN", &token.text);
    }
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// An actor that accepts everything but a deny.
fn answering(world: &mut World) {
    world.has_no_sink();
    let telemetry: Telemetry = world.telemetry.clone();
    world.commands.serve(Arc::new(move |command| {
        let refused = matches!(command.order, Order::Deny { .. });
        let mut view = (*telemetry.view()).clone();
        let why = refused.then(|| "it was approved meanwhile".into());
        view.commands.push(CommandView::taken(command, why));
        telemetry.publish(Arc::new(view));
        Ok(())
    }));
}

fn world() -> World {
    let mut world = World::new();
    world.owns();
    answering(&mut world);
    world.show(|view| view.actions = vec![action("a1")]);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_what_waits_approves_it_and_is_told_what_became_of_it() {
    let world = world();
    let server = world.serve().await;
    let (code, out, _) = run(&server, None, &["actions"]).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("a1") && out.contains("awaiting_approval") && out.contains(&hash('1')), "{out}");
    let (code, out, _) = run(&server, Some(&world.viewer), &["safety"]).await;
    assert!(code == Some(0) && out.contains("nothing is frozen"), "{out}");

    let approver = Some(&world.approver);
    let approve = ["approve", "a1", "--reason", "seen"];
    let (code, out, err) = run(&server, approver, &approve).await;
    assert_eq!(code, Some(1));
    assert!(out.contains(&hash('1')) && out.contains("fair-lending"), "the evidence is shown: {out}");
    assert!(err.contains("nobody can be asked here"), "{err}");
    let (code, _, err) = run(&server, approver, &[&approve[..], &["--yes"]].concat()).await;
    assert!(code == Some(64) && err.contains("--evidence"), "{err}");
    let evidence = hash('1');
    let sure = [&approve[..], &["--evidence", &evidence, "--to-version", "1", "--yes"]].concat();
    let (code, out, err) = run(&server, approver, &sure).await;
    assert!(code == Some(0) && out.contains("approve is in force"), "{out}{err}");
    let other = hash('2');
    let (code, _, err) =
        run(&server, approver, &[&approve[..], &["--evidence", &other, "--to-version", "1"]].concat()).await;
    assert!(code == Some(1) && err.contains("the evidence is not that of the action"), "{err}");
    let (code, _, err) = run(&server, approver, &["deny", "a1", "--reason", "no"]).await;
    assert!(code == Some(1) && err.contains("it was approved meanwhile"), "{err}");
    for words in [
        &["hold", "credit", "--tenant", "bank", "--reason", "audit"][..],
        &["release", "credit", "--reason", "audit is over"],
        &["freeze", "--reason", "feed"],
        &["resume", "--reason", "feed is well"],
        &["absolve", "credit", "2", "--reason", "fixed"],
        &["cancel", "a1", "--reason", "no"],
    ] {
        let (code, out, err) = run(&server, approver, words).await;
        assert!(
            code == Some(0) && out.contains(&format!("{} is in force", words[0])),
            "{words:?}: {out}{err}"
        );
        assert!(!format!("{out}{err}").contains(&world.approver.text));
    }
}

/// What is approved is one version to go back to, and no other that took its place meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_of_a_rollback_names_the_version_that_the_person_was_shown() {
    let world = world();
    world.show(|view| {
        let back = &mut view.actions[0];
        (back.kind, back.to_version) = ("rollback".into(), Some("1".into()));
    });
    let server = world.serve().await;
    let approve = ["approve", "a1", "--reason", "seen"];
    let (_, out, _) = run(&server, Some(&world.approver), &approve).await;
    assert!(out.contains("(rollback to 1)"), "{out}");
    let (_, out, _) = run(&server, None, &["actions"]).await;
    assert!(out.contains("(rollback to 1)"), "{out}");
    let evidence = hash('1');
    let sure = [&approve[..], &["--evidence", &evidence]].concat();
    for words in [&sure[..], &[&sure[..], &["--to-version", "2"]].concat()] {
        let (code, _, err) = run(&server, Some(&world.approver), words).await;
        assert!(code == Some(1) && err.contains("it would go back to version `1`"), "{err}");
    }
    let words = [&sure[..], &["--to-version", "1"]].concat();
    let (code, out, err) = run(&server, Some(&world.approver), &words).await;
    assert!(code == Some(0) && out.contains("approve is in force"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_wrong_is_said_so_that_a_person_can_put_it_right() {
    let world = world();
    let server = world.serve().await;
    let freeze = ["freeze", "--reason", "feed"];
    let (code, _, err) = run(&server, None, &freeze).await;
    assert!(code == Some(1) && err.contains("needs a token"), "{err}");
    let (code, _, err) = run(&server, Some(&world.viewer), &freeze).await;
    assert!(code == Some(1) && err.contains("needs the role operator; alice has viewer"), "{err}");
    let (code, _, err) = run(&server, Some(&world.viewer), &["approve", "a9", "--reason", "x"]).await;
    assert!(code == Some(1) && err.contains("there is no action `a9`"), "{err}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}\n", world.operator.text)).unwrap();
    let path = file.path().to_str().unwrap();
    let (code, out, err) = run(&server, None, &[&freeze[..], &["--token-file", path]].concat()).await;
    assert!(code == Some(0), "{out}{err}");

    let mut stranger = World::new();
    stranger.stands_by();
    let aside = stranger.serve().await;
    let (code, _, err) = run(&aside, Some(&stranger.operator), &freeze).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("is given and will be read") && err.contains("does not own the actions"), "{err}");
    assert_eq!(stranger.delivered().len(), 1, "it is on its way all the same");
    let (code, out, _) =
        run(&aside, Some(&stranger.operator), &[&freeze[..], &["--wait", "0s"]].concat()).await;
    assert!(code == Some(0) && out.contains("freeze is given"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_instances_the_one_that_owns_the_actions_is_asked() {
    let (world, mut aside) = (world(), World::new());
    aside.stands_by();
    aside.access = world.access.clone();
    let (owner, standby) = (world.serve().await, aside.serve().await);
    let urls = format!("http://{}", owner.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(["freeze", "--reason", "feed", "--url"]);
    command.arg(format!("http://{},{urls}", standby.address)).env("PLIMSOLL_TOKEN", &world.operator.text);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(aside.delivered().is_empty());
}

#[test]
fn a_token_is_shown_once_with_its_line_and_is_never_an_argument() {
    let run = |words: &[&str]| Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(words).output().unwrap();
    let shown = run(&["token", "--name", "alice", "--role", "approver"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("plimsoll_") && text.contains("{name: alice, role: approver, sha256: \""),
        "{text}"
    );
    assert_eq!(run(&["token", "--name", "a b", "--role", "viewer"]).status.code(), Some(64));
    assert_eq!(run(&["freeze", "--reason", "x", "--token", "y"]).status.code(), Some(64));
}
