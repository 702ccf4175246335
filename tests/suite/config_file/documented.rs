//! The commented file, the schema and the page about them say what is true of the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plimsoll::config::{self, Target};
use plimsoll::domain::Metric;
use proptest::prelude::*;
use serde_json::{Value, json};

fn project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

#[test]
fn the_first_file_of_the_manual_works() {
    let manual = std::fs::read_to_string(project("docs/configuration.md")).unwrap();
    let (_, rest) = manual.split_once("```yaml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let config = super::parse(text).unwrap();
    assert!(config.require_kafka().is_ok());
    assert_eq!(config.models[0].checks[0].metric, Metric::SelectionRateRatio);
}

#[test]
fn the_commented_file_works_as_it_is() {
    let config = config::load(&project("config/plimsoll.yaml"), []).unwrap();
    assert_eq!(config.require_kafka().unwrap().brokers, "localhost:9092");
    assert_eq!(config.warnings, []);
    assert_eq!(config.models[0].checks[0].metric, Metric::SelectionRateRatio);
    assert!(matches!(config.actions[0].target, Target::DryRun));
}

/// The commented file with every `#key:` line made part of it.
fn uncommented() -> String {
    let text =
        std::fs::read_to_string(project("config/plimsoll.yaml")).expect("the file is part of the project");
    let key = |line: &str| {
        let rest = line.trim_start().strip_prefix('#')?;
        let (name, _) = rest.split_once(':')?;
        let name =
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        name.then(|| line.replacen('#', "", 1))
    };
    text.lines().map(|line| key(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

/// Every key of `node`, as a path; `[]` stands for the entries of a list.
fn schema_keys(node: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(name) = node["$ref"].as_str() {
        schema_keys(
            schema.pointer(&name[1..]).expect("a reference that leads somewhere"),
            schema,
            path,
            keys,
        );
    }
    for branch in node["anyOf"].as_array().into_iter().flatten() {
        schema_keys(branch, schema, path, keys);
    }
    schema_keys_of_items(&node["items"], schema, path, keys);
    if node["maxProperties"] == 1 {
        return; // A secret: the file explains both forms once.
    }
    for (key, child) in node["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        schema_keys(child, schema, &path, keys);
        keys.insert(path);
    }
}

fn schema_keys_of_items(items: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if items.is_object() {
        schema_keys(items, schema, &format!("{path}[]"), keys);
    }
}

fn document_keys(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let path = format!("{path}.{key}");
                document_keys(member, &path, keys);
                keys.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| document_keys(item, &format!("{path}[]"), keys)),
        _ => {}
    }
}

#[test]
fn the_commented_file_shows_every_key() {
    let text = uncommented();
    // What was commented out has the right shape too: the only errors left are those of files that are
    // not there, and of keys that exclude each other.
    let wrong = config::parse(&text, &project("config/plimsoll.yaml"), []).unwrap_err();
    for problem in &wrong.0 {
        let expected = [
            "there is no file",
            "needs `protocol`",
            "cannot read the secret",
            "is not set",
            "without a `prediction`",
            "must have either a `token`",
        ];
        assert!(expected.iter().any(|words| problem.message.contains(words)), "{problem}");
    }
    let file = ::config::File::from_str(&text, ::config::FileFormat::Yaml);
    let document = ::config::Config::builder().add_source(file).build().unwrap();
    let document: Value = document.try_deserialize().unwrap();
    let (mut shown, mut all) = (BTreeSet::new(), BTreeSet::new());
    document_keys(&document, "", &mut shown);
    let schema = config::schema();
    schema_keys(&schema, &schema, "", &mut all);
    assert!(all.len() > 80, "{all:?}");
    let hidden: Vec<&String> = all.difference(&shown).collect();
    assert!(hidden.is_empty(), "config/plimsoll.yaml does not show {hidden:?}");
}

#[test]
fn the_schema_beside_the_file_is_current() {
    let path = project("config/plimsoll.schema.json");
    let current = serde_json::to_string_pretty(&config::schema()).unwrap() + "\n";
    if std::env::var_os("PLIMSOLL_REWRITE_SCHEMA").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "config/plimsoll.schema.json is out of date; run \
         `PLIMSOLL_REWRITE_SCHEMA=1 cargo test --test suite the_schema_beside_the_file_is_current`"
    );
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn walk(node: &Value, path: &str, bare: &mut Vec<String>) {
        for (key, child) in node["properties"].as_object().into_iter().flatten() {
            if child["description"].as_str().is_none_or(str::is_empty) {
                bare.push(format!("{path}.{key}"));
            }
        }
        for (name, definition) in node["$defs"].as_object().into_iter().flatten() {
            walk(definition, name, bare);
        }
    }
    let schema = config::schema();
    let mut bare = Vec::new();
    walk(&schema, "", &mut bare);
    assert_eq!(bare, Vec::<String>::new());
}

/// Every place in `value`, as a JSON pointer.
fn places(value: &Value, path: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                places(member, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{path}/{index}"), all));
        }
        _ => {}
    }
    all.push(path.to_owned());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The schema and the structs agree on every document: whatever gets past the schema is one that
    /// serde reads too, so that no error comes without a key or in a library's words.
    #[test]
    fn whatever_is_wrong_is_reported_in_our_own_words(
        place in any::<prop::sample::Index>(),
        replacement in prop::sample::select(vec![
            json!(null), json!(true), json!(-1), json!(0), json!(4_294_967_296_u64), json!(0.5), json!(""),
            json!("x"), json!("*"), json!("/a"), json!("1h"), json!([]), json!([1]), json!(["x"]), json!({}),
            json!({"x": 1}), json!({"env": "HOME"}),
        ]),
    ) {
        let file = ::config::File::from_str(&uncommented(), ::config::FileFormat::Yaml);
        let document = ::config::Config::builder().add_source(file).build().unwrap();
        let mut document: Value = document.try_deserialize().unwrap();
        let mut all = Vec::new();
        places(&document, "", &mut all);
        let place = place.get(&all);
        *document.pointer_mut(place).unwrap() = replacement;
        // JSON is YAML.
        match config::parse(&document.to_string(), &project("config/plimsoll.yaml"), []) {
            Ok(_) => {}
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                for problem in &errors.0 {
                    for words in ["unknown field", "missing field", "invalid type", "invalid value", "did not match any"] {
                        prop_assert!(!problem.message.contains(words), "{place}: {problem}");
                    }
                }
            }
        }
    }
}
