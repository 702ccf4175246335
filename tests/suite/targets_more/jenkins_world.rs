//! A Jenkins, with what it makes of a request for a part of an object.

use serde_json::{Map, Value, json};

use super::super::targets::ID;
use super::super::targets::stub::{Reply, Seen};
use super::worlds::{World, form, not_found, path};

/// A selection: a list of names, each with a selection of its own in brackets where it is an object or a
/// list of them, and with a range in braces where it is a list.
fn parsed(tree: &str) -> Vec<(&str, Option<&str>)> {
    let (mut parts, mut rest) = (vec![], tree);
    while !rest.is_empty() {
        let (name, mut after) = rest.split_at(rest.find(['[', ',', '{']).unwrap_or(rest.len()));
        let mut inner = None;
        if after.starts_with('[') {
            let mut depth = 0;
            let close = after.find(|c| {
                depth += i32::from(c == '[') - i32::from(c == ']');
                depth == 0
            });
            let close = close.expect("brackets are closed");
            inner = Some(&after[1..close]);
            after = &after[close + 1..];
        }
        if after.starts_with('{') {
            after = &after[after.find('}').expect("braces are closed") + 1..];
        }
        parts.push((name, inner));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    parts
}

/// What of `schema` the selection `tree` asks for that is not there.
pub(super) fn unknown(schema: &Value, tree: &str) -> Vec<String> {
    let mut unknown = vec![];
    for (name, inner) in parsed(tree) {
        let member = &schema["properties"][name];
        if member.is_null() {
            unknown.push(name.to_owned());
        }
        let member = member.pointer("/items").or_else(|| member.pointer("/anyOf/0")).unwrap_or(member);
        unknown.extend(inner.into_iter().flat_map(|inner| self::unknown(member, inner)));
    }
    unknown
}

/// What `tree` selects of `object`, which may be a list of objects.
fn selected(object: &Value, tree: &str) -> Value {
    if let Some(list) = object.as_array() {
        return list.iter().map(|object| selected(object, tree)).collect();
    }
    let Some(members) = object.as_object() else { return object.clone() };
    let mut selected = Map::new();
    for (name, inner) in parsed(tree) {
        if let Some(member) = members.get(name) {
            let member = inner.map_or_else(|| member.clone(), |inner| self::selected(member, inner));
            selected.insert(name.to_owned(), member);
        }
    }
    Value::Object(selected)
}

fn query(seen: &Seen, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(&format!("http://x{}", seen.path)).unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// A Jenkins with one job.
pub(super) struct JenkinsWorld {
    /// What waits: number, action's id.
    pub(super) queue: Vec<(u64, String)>,
    /// Builds: number, action's id, result.
    pub(super) builds: Vec<(u64, String, Option<&'static str>)>,
    /// Places in the queue that Jenkins still knows: number, build.
    pub(super) left: Vec<(u64, u64)>,
    /// Places that were taken out of the queue.
    pub(super) cancelled: Vec<u64>,
    pub(super) buildable: bool,
    pub(super) declared: &'static str,
}

impl Default for JenkinsWorld {
    fn default() -> Self {
        let (queue, builds, left) = (vec![], vec![], vec![]);
        let (cancelled, declared) = (vec![], "PLIMSOLL_ACTION_ID");
        Self { queue, builds, left, cancelled, buildable: true, declared }
    }
}

fn parameters(id: &str) -> Value {
    json!([{}, {"parameters": [{"name": "MODEL", "value": "credit"}, {"name": "PLIMSOLL_ACTION_ID", "value": id}]}])
}

impl JenkinsWorld {
    pub(super) fn begun() -> Self {
        Self { queue: vec![(301, ID.into())], ..Self::default() }
    }

    /// The first that waits becomes a build.
    pub(super) fn begin(&mut self, number: u64, result: Option<&'static str>) {
        let (item, id) = self.queue.remove(0);
        self.left.push((item, number));
        self.builds.push((number, id, result));
    }
}

impl World for JenkinsWorld {
    /// Of an object no more than what its `tree` selects.
    fn answer(&mut self, seen: &Seen) -> Reply {
        let reply = self.whole(seen);
        let (Some(tree), Reply::Http { status: 200, body, .. }) = (query(seen, "tree"), &reply) else {
            return reply;
        };
        Reply::json(200, &selected(&serde_json::from_slice(body).unwrap(), &tree))
    }

    fn done(&self) -> bool {
        !self.queue.is_empty() || !self.builds.is_empty()
    }
}

impl JenkinsWorld {
    fn whole(&mut self, seen: &Seen) -> Reply {
        let parts: Vec<&str> = path(seen).trim_start_matches('/').split('/').collect();
        match (seen.method.as_str(), parts.as_slice()) {
            ("GET", ["job", "models", "job", "act", "api", "json"])
                if seen.path.contains("parameterDefinitions") =>
            {
                let definitions = json!([{}, {"parameterDefinitions": [{"name": self.declared}]}]);
                Reply::json(200, &json!({"buildable": self.buildable, "property": definitions}))
            }
            ("GET", ["job", "models", "job", "act", "api", "json"]) => {
                let build = |(number, id, _): &(u64, String, Option<&str>)| json!({"number": number, "timestamp": 1_795_341_601_000_u64 , "actions": parameters(id)});
                let builds: Vec<Value> = self.builds.iter().rev().take(100).map(build).collect();
                Reply::json(200, &json!({"builds": builds}))
            }
            ("POST", ["job", "models", "job", "act", "buildWithParameters"]) => {
                let id = form(seen).into_iter().find(|(name, _)| name == "PLIMSOLL_ACTION_ID").unwrap().1;
                self.queue.push((301, id));
                Reply::status(201).with("location", "http://jenkins.example/queue/item/301/")
            }
            ("GET", ["queue", "api", "json"]) => {
                let item = |(number, id): &(u64, String)| json!({"id": number, "actions": parameters(id)});
                Reply::json(200, &json!({"items": self.queue.iter().map(item).collect::<Vec<_>>()}))
            }
            ("GET", ["queue", "item", number, "api", "json"]) => {
                let number: u64 = number.parse().unwrap();
                if self.cancelled.contains(&number) {
                    return Reply::json(200, &json!({"id": number, "cancelled": true, "why": null}));
                }
                if self.queue.iter().any(|(item, _)| *item == number) {
                    return Reply::json(200, &json!({"id": number, "why": "In the quiet period"}));
                }
                let build = self.left.iter().find(|(item, _)| *item == number);
                build.map_or_else(not_found, |(_, build)| {
                    Reply::json(200, &json!({"executable": {"number": build}}))
                })
            }
            ("GET", ["job", "models", "job", "act", number, "api", "json"]) => {
                let build = self.builds.iter().find(|build| build.0.to_string() == *number);
                build.map_or_else(not_found, |build| {
                    Reply::json(200, &json!({"building": build.2.is_none(), "result": build.2}))
                })
            }
            ("POST", ["queue", "cancelItem"]) => {
                let id = query(seen, "id").and_then(|id| id.parse().ok());
                let Some(at) = self.queue.iter().position(|(item, _)| Some(*item) == id) else {
                    return Reply::status(404);
                };
                self.cancelled.push(self.queue.remove(at).0);
                Reply::status(204)
            }
            ("POST", ["job", "models", "job", "act", _, "stop"]) => Reply::status(302).with("location", "/"),
            _ => not_found(),
        }
    }
}
