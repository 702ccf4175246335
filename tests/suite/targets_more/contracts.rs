//! What is asked, held against the published descriptions: the path, the query, the body. And what the
//! stubs of these tests answer, so that adapters are tested with what the real servers say.

use std::path::Path;

use plimsoll::safety::Step;
use serde_json::{Map, Value, json};

use super::super::targets::stub::{Reply, Seen};
use super::super::targets::{ask, call};
use super::jenkins_world::{JenkinsWorld, unknown};
use super::worlds::{ArgoWorld, GithubWorld, GitlabWorld, KserveWorld, RolloutsWorld, World, form, run};
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
    let again = [Step::Submit, Step::Poll { reference: reference(name).into() }];
    let exchanges = asked(name, world, |questions| questions.into_iter().chain(again).collect());
    assert!(exchanges.len() > 4, "{name} asks too little");
    exchanges
}

/// All that passes between the target `name` and `world` when of its questions `choose` is asked.
fn asked<W: World + 'static>(
    name: &str,
    world: W,
    choose: impl FnOnce(Vec<Step>) -> Vec<Step>,
) -> Vec<(Seen, Reply)> {
    let (stub, world) = run(Recorded { world, exchanges: vec![] });
    let target = target(name, &Setting::at(&stub.url()));
    for step in choose(questions(name, &*target)) {
        ask(&*target, &step, &call(kind(name)));
    }
    world.lock().unwrap().exchanges.clone()
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

/// `schema` with no room for members that it does not name, where it names any.
fn closed(schema: &Value) -> Value {
    let Some(members) = schema.as_object() else { return schema.clone() };
    let mut closed: Map<String, Value> =
        members.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(properties) = schema["properties"].as_object() {
        let properties = properties.iter().map(|(name, value)| (name.clone(), self::closed(value)));
        closed.insert("properties".into(), Value::Object(properties.collect()));
        closed.insert("additionalProperties".into(), json!(false));
    }
    if schema["items"].is_object() {
        closed.insert("items".into(), self::closed(&schema["items"]));
    }
    Value::Object(closed)
}

/// What was sent, as JSON. Of a form, `variables[X]` is the member `X` of `variables`.
fn body_of(seen: &Seen) -> Value {
    if seen.headers["content-type"].starts_with("application/json") {
        return seen.json();
    }
    let mut object = json!({});
    for (name, value) in form(seen) {
        match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((outer, inner)) => object[outer][inner] = json!(value),
            None => object[name.as_str()] = json!(value),
        }
    }
    object
}

/// Holds the query of a request against the published parameters, which may list what they allow.
fn check_query(seen: &Seen, published: &Value, what: &str) {
    for known in published.as_array().into_iter().flatten().filter(|known| known["required"] == true) {
        let there = query(seen).iter().any(|(name, _)| known["name"] == name.as_str());
        assert!(there, "{what}: {} is asked for", known["name"]);
    }
    for (name, value) in query(seen) {
        let mut parameters = published.as_array().into_iter().flatten();
        let known = parameters.find(|known| known["name"] == name.as_str());
        let schema = &known.unwrap_or_else(|| panic!("{what}: `{name}` is not published"))["schema"];
        let value = match schema["type"].as_str() {
            Some("integer" | "boolean" | "number") => serde_json::from_str(&value).unwrap(),
            _ => json!(value),
        };
        valid(schema, &value, &format!("{what}: `{name}`"));
    }
}

/// Holds each exchange against a list of operations; returns how many operations were used.
fn check(exchanges: &[(Seen, Reply)], description: &Value) -> usize {
    let operations = description["operations"].as_array().unwrap();
    let mut used: Vec<&str> = Vec::new();
    for (seen, reply) in exchanges {
        let operation = operation(seen, operations);
        let what = format!("{} {}", seen.method, seen.path);
        used.push(operation["path"].as_str().unwrap());
        check_query(seen, &operation["query"], &what);
        if operation["request"].is_object()
            && (!seen.body.is_empty() || operation["request"]["required"].is_array())
        {
            valid(&closed(&operation["request"]), &body_of(seen), &what);
        } else {
            assert!(seen.body.is_empty(), "{what}: a body that is not published");
        }
        let Reply::Http { status, body, .. } = reply else { panic!("{what}: no reply") };
        let responses = operation["responses"].as_object().unwrap();
        match responses.get(&status.to_string()) {
            Some(schema) if schema.is_object() => {
                valid(&closed(schema), &serde_json::from_slice(body).unwrap(), &what);
            }
            Some(_) => assert!(body.is_empty(), "{what}: {status} is published without a body"),
            None => assert!(*status >= 400, "{what}: {status} is not published"),
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
fn what_gitlab_is_asked_and_answers_is_as_it_publishes() {
    let mut description = published("gitlab.json");
    // The manual has both (`api/pipeline_triggers`, `api/pipelines`), and the published description does
    // not: a branch in the body, and what a pipeline of a list is called.
    for (place, name) in [
        ("/operations/0/request/properties", "ref"),
        ("/operations/1/responses/200/items/properties", "name"),
    ] {
        let members = description.pointer_mut(place).unwrap().as_object_mut().unwrap();
        assert!(members.insert(name.into(), json!({"type": "string"})).is_none(), "{name} is published now");
    }
    // It announces 201 for a pipeline that was stopped; GitLab's code (`lib/api/ci/pipelines.rb`) answers 200.
    let stopped = description["operations"][3]["responses"].as_object_mut().unwrap();
    let pipeline = stopped["201"].clone();
    assert!(stopped.insert("200".into(), pipeline).is_none(), "200 is published now");
    assert_eq!(check(&exchanges("gitlab", GitlabWorld::default()), &description), 4);
}

#[test]
fn what_jenkins_is_asked_and_answers_is_as_its_objects_are_marked() {
    let description = published("jenkins.json");
    let waiting = exchanges("jenkins", JenkinsWorld::default());
    let mut begun = JenkinsWorld::begun();
    begun.begin(12, Some("SUCCESS"));
    let built = asked("jenkins", begun, |mut questions| questions.split_off(1));
    let all = [waiting, built].concat();
    assert_eq!(check(&all, &description), 7);
    let operations = description["operations"].as_array().unwrap();
    let mut selected = 0;
    for (seen, _) in &all {
        let schema = &operation(seen, operations)["responses"]["200"];
        for (_, tree) in query(seen).into_iter().filter(|(name, _)| name == "tree") {
            assert_eq!(unknown(schema, &tree), [""; 0], "{tree}");
            selected += 1;
        }
    }
    assert!(selected > 4, "{selected}");
    let builds = &operations[0]["responses"]["200"];
    assert_eq!(
        unknown(builds, "builds[number,nummer,actions[parameters[nam]]]{0,9},x"),
        ["nummer", "nam", "x"]
    );
}

#[test]
fn what_the_argo_server_is_asked_and_answers_is_as_it_publishes() {
    assert_eq!(
        check(&exchanges("argo_workflows", ArgoWorld::default()), &published("argo-workflows.json")),
        4
    );
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
