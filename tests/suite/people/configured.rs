//! Tokens and TLS in the configuration.

use std::path::Path;

use plimsoll::app::people::{draw, services};
use plimsoll::config::{self, Anonymous, Config, Errors};
use plimsoll::safety::Role;

fn parse(http: &str) -> Result<Config, Errors> {
    let text = format!(
        "topics: [{{name: t, model: =m}}]\nmodels:\n  - {{name: m, topics: [t], task: binary, version: /v, time: /ts, prediction: /p}}\nhttp: {http}\n"
    );
    config::parse(&text, Path::new("/etc/plimsoll.yaml"), [])
}

fn wrong(http: &str) -> String {
    parse(http).unwrap_err().to_string()
}

#[test]
fn the_line_that_is_printed_for_a_token_is_one_of_the_configuration() {
    let text = draw("alice", Role::Approver).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("- ")).unwrap();
    let config = parse(&format!("{{tokens: [{line}]}}")).unwrap();
    let token = text.lines().find(|line| line.starts_with("plimsoll_")).unwrap();
    let configured = &config.http.tokens[0];
    assert_eq!((configured.name.as_str(), configured.role), ("alice", Role::Approver));
    assert_eq!(configured.sha256, plimsoll::api::access::digest(token));
    assert!(!format!("{config:?}").contains(token));
    let digest = line.split('"').nth(1).unwrap();
    assert!(!format!("{config:?}").contains(digest));
    assert!(!config.part.to_string().contains(digest), "what is published holds no token");
    let served = services(&config.http, Default::default()).unwrap();
    assert_eq!(served.access.tokens[0].name, "alice");
    assert_ne!(draw("alice", Role::Approver).unwrap(), text, "each one is new");
}

#[test]
fn every_mistake_with_a_token_is_named_and_no_token_repeated() {
    let hash = "ab".repeat(32);
    let token = |name: &str, sha256: &str| format!("{{name: {name}, role: viewer, sha256: \"{sha256}\"}}");
    for (tokens, says) in [
        (token("alice", "short"), "http.tokens[0].sha256: must be 64 hexadecimal digits"),
        (token("alice", &format!("{}-", &hash[..63])), "must be 64 hexadecimal digits"),
        (token("\"a b\"", &hash), "http.tokens[0].name"),
        (format!("{}, {}", token("a", &hash), token("a", &"cd".repeat(32))), "already the name"),
        (
            format!("{}, {}", token("a", &hash), token("b", &hash)),
            "http.tokens[1].sha256: is already that of `a`",
        ),
        (
            token("a", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            "is that of an empty token",
        ),
        ("{name: a, role: owner, sha256: x}".to_owned(), "http.tokens[0].role"),
    ] {
        let told = wrong(&format!("{{tokens: [{tokens}]}}"));
        assert!(told.contains(says), "{told}");
        assert!(!told.contains("short") && !told.contains(&hash), "{told}");
    }
}

#[test]
fn tokens_do_not_travel_in_the_clear_unless_that_was_asked_for() {
    let tokens = format!("tokens: [{{name: a, role: viewer, sha256: \"{}\"}}]", "ab".repeat(32));
    let told = wrong(&format!("{{listen: \"0.0.0.0:9464\", {tokens}}}"));
    assert!(told.contains("http.tokens: tokens would travel to 0.0.0.0:9464 in the clear"), "{told}");
    let asked = parse(&format!("{{listen: \"0.0.0.0:9464\", {tokens}, insecure_commands: true}}")).unwrap();
    assert!(asked.warnings.iter().any(|warning| warning.path == "http.insecure_commands"));
    assert!(parse(&format!("{{{tokens}}}")).unwrap().warnings.is_empty(), "loopback");
    let missing = wrong(&format!(
        "{{listen: \"0.0.0.0:9464\", {tokens}, tls: {{certificate_file: no.pem, key_file: no.key}}}}"
    ));
    assert!(missing.contains("http.tls.certificate_file") && !missing.contains("in the clear"), "{missing}");
}

#[test]
fn what_is_seen_without_a_token_depends_on_where_it_listens() {
    let anonymous = |http: &str| parse(http).unwrap().http.anonymous;
    assert_eq!(anonymous("{}"), Anonymous::Read);
    assert_eq!(anonymous("{listen: \"[::1]:0\"}"), Anonymous::Read);
    assert_eq!(anonymous("{listen: \"0.0.0.0:9464\"}"), Anonymous::Metrics);
    assert_eq!(anonymous("{anonymous: none}"), Anonymous::None);
    let open = parse("{listen: \"0.0.0.0:9464\", anonymous: read}").unwrap();
    assert!(open.warnings[0].message.contains("shows them everything"), "{:?}", open.warnings);
}
