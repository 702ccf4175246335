//! What is asked, held against the published descriptions: the path, the query, the body. And what the
//! stubs of these tests answer, so that adapters are tested with what the real servers say.

use std::path::Path;

use plimsoll::safety::Step;
use serde_json::{Map, Value, json};

use super::super::targets::stub::{Reply, Seen};
use super::super::targets::{ask, call};
use super::worlds::{ArgoWorld, GithubWorld, KserveWorld, RolloutsWorld, World, run};
use super::{Setting, kind, questions, reference, target};

fn published(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas").join(file);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn valid(schema: &Value, instance: &Value, what: &str) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(instance).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:?}: {instance}");
}

/// A world whose requests and answers are written down.
struct Recorded<W> {
    world: W,
    exchanges: Vec<(Seen, Reply)>,
}

impl<W: World> World for Recorded<W> {
    fn answer(&mut self, seen: &Seen) -> Reply {
        let reply = self.world.answer(seen);
        self.exchanges.push((seen.clone(), reply.clone()));
        reply
    }

    fn done(&self) -> bool {
        self.world.done()
    }
}

/// All that passes between the target `name` and `world` when each question is asked, twice.
fn exchanges<W: World + 'static>(name: &str, world: W) -> Vec<(Seen, Reply)> {
    let (stub, world) = run(Recorded { world, exchanges: vec![] });
    let target = target(name, &Setting::at(&stub.url()));
    for step in questions(name, &*target)
        .into_iter()
        .chain([Step::Submit, Step::Poll { reference: reference(name).into() }])
    {
        ask(&*target, &step, &call(kind(name)));
    }
    let exchanges = world.lock().unwrap().exchanges.clone();
    assert!(exchanges.len() > 4, "{name} asks too little");
    exchanges
}

/// The operation that a request is for.
fn operation<'a>(seen: &Seen, operations: &'a [Value]) -> &'a Value {
    let path: Vec<&str> = seen.path.split('?').next().unwrap().split('/').collect();
    let fits = |operation: &&Value| {
        let template: Vec<&str> = operation["path"].as_str().unwrap().split('/').collect();
        operation["method"] == seen.method.as_str()
            && template.len() == path.len()
            && template.iter().zip(&path).all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    // A literal path goes before one with a place in it.
    let literal = |operation: &Value| !operation["path"].as_str().unwrap().ends_with('}');
    let fitting: Vec<&Value> = operations.iter().filter(fits).collect();
    let found = fitting.iter().copied().find(|operation| literal(operation)).or(fitting.first().copied());
    found.unwrap_or_else(|| panic!("{} {} is not published", seen.method, seen.path))
}

fn query(seen: &Seen) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://x{}", seen.path)).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// Holds each exchange against a list of operations; returns how many operations were used.
fn check(exchanges: &[(Seen, Reply)], description: &Value) -> usize {
    let operations = description["operations"].as_array().unwrap();
    let mut used: Vec<&str> = Vec::new();
    for (seen, reply) in exchanges {
        let operation = operation(seen, operations);
        let what = format!("{} {}", seen.method, seen.path);
        used.push(operation["path"].as_str().unwrap());
        for (name, _) in query(seen) {
            let known = operation["query"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|known| known["name"] == name.as_str());
            assert!(known, "{what}: `{name}` is not published");
        }
        if operation["request"].is_object() && !seen.body.is_empty() {
            let mut schema = operation["request"].clone();
            schema["additionalProperties"] = json!(false);
            valid(&schema, &seen.json(), &what);
        } else {
            assert!(seen.body.is_empty(), "{what}: a body that is not published");
        }
        let Reply::Http { status, body, .. } = reply else { panic!("{what}: no reply") };
        let schema = &operation["responses"][status.to_string()];
        if schema.is_object() {
            valid(schema, &serde_json::from_slice(body).unwrap(), &what);
        } else {
            assert!(
                *status >= 400 || body.is_empty() || schema.is_null(),
                "{what}: {status} is not published"
            );
        }
    }
    used.sort_unstable();
    used.dedup();
    used.len()
}

#[test]
fn what_github_is_asked_and_answers_is_as_it_publishes() {
    let description = published("github.json");
    assert_eq!(check(&exchanges("github", GithubWorld::default()), &description), 5);
    let quiet = GithubWorld { details: false, ..GithubWorld::default() };
    check(&exchanges("github", quiet), &description);
    // 25 inputs are the most, and one of them is the action's id.
    let inputs = &description["operations"][0]["request"]["properties"]["inputs"];
    assert_eq!(inputs["maxProperties"], 25);
}

#[test]
fn what_the_argo_server_is_asked_and_answers_is_as_it_publishes() {
    assert_eq!(
        check(&exchanges("argo_workflows", ArgoWorld::default()), &published("argo-workflows.json")),
        4
    );
}

/// `schema` with no room for members that it does not name.
fn closed(schema: &Value) -> Value {
    let Some(members) = schema.as_object() else { return schema.clone() };
    let mut closed: Map<String, Value> =
        members.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(properties) = schema["properties"].as_object() {
        let properties = properties.iter().map(|(name, value)| (name.clone(), self::closed(value)));
        closed.insert("properties".into(), Value::Object(properties.collect()));
        closed.insert("additionalProperties".into(), json!(false));
    }
    Value::Object(closed)
}

/// Holds the patches among `exchanges`, but for their `metadata`, and the objects that are answered with,
/// against `schema`.
fn check_object(exchanges: &[(Seen, Reply)], schema: &Value, resource: &str) {
    let mut patches = 0;
    for (seen, reply) in exchanges.iter().filter(|(seen, _)| seen.path.contains(resource)) {
        if seen.method == "PATCH" {
            let mut patch = seen.json();
            if let Some(operations) = patch.as_array() {
                assert_eq!(operations[1]["path"], "/spec/template");
                assert!(schema.pointer("/properties/spec/properties/template").is_some());
            } else {
                assert!(patch.as_object_mut().unwrap().remove("metadata").is_some());
                valid(&closed(schema), &patch, &seen.path);
            }
            patches += 1;
        }
        let Reply::Http { status: 200, body, .. } = reply else { continue };
        let mut object: Value = serde_json::from_slice(body).unwrap();
        object.as_object_mut().unwrap().remove("metadata");
        valid(&closed(schema), &object, &seen.path);
    }
    assert!(patches > 0, "nothing was patched");
}

#[test]
fn what_kserve_is_asked_and_shows_is_as_it_publishes() {
    let schema = published("kserve.json")["inference_service"].clone();
    check_object(&exchanges("kserve", KserveWorld::default()), &schema, "/inferenceservices/");
}

#[test]
fn what_rollouts_are_asked_and_show_is_as_they_publish() {
    let schema = published("argo-rollouts.json")["rollout"].clone();
    check_object(&exchanges("argo_rollouts", RolloutsWorld::default()), &schema, "/rollouts/");
    let ended = RolloutsWorld { stable: "b", phase: "Healthy", ..RolloutsWorld::default() };
    check_object(&exchanges("argo_rollouts", ended), &schema, "/rollouts/");
}
