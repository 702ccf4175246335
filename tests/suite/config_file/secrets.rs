//! Secrets are read from where they are kept and printed nowhere.

use std::path::Path;

use plimsoll::config::{self, Config, Property, Target};

use super::{SMALL, errors, with_env};

/// A file with secrets in every place that takes one.
fn with_secrets(folder: &Path) -> Result<Config, config::Errors> {
    let text = format!(
        r#"
kafka:
  brokers: "k:9092"
  security: {{protocol: sasl_ssl, mechanism: SCRAM-SHA-512, username: u, password: {{env: KAFKA_PASSWORD}}}}
  properties: {{sasl.oauthbearer.client.secret: {{file: client-secret}}}}
{SMALL}
policies: []
actions:
  - {{name: tell, kind: notify, target: webhook, webhook: {{url: "https://x.example/", secret: {{file: hook}}}}}}
"#
    );
    let env = [("KAFKA_PASSWORD".to_owned(), "hunter2-env".to_owned())];
    config::parse(&text, &folder.join("plimsoll.yaml"), env)
}

#[test]
fn secrets_come_from_the_environment_and_files_and_are_printed_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("client-secret"), "hunter2-file\n").unwrap();
    std::fs::write(folder.path().join("hook"), "whsec_hunter2\r\n").unwrap();
    let config = with_secrets(folder.path()).unwrap();

    let kafka = config.require_kafka().unwrap();
    assert_eq!(kafka.security.password.as_ref().map(config::Secret::expose), Some("hunter2-env"));
    let client = &kafka.properties["sasl.oauthbearer.client.secret"];
    assert!(matches!(client, Property::Secret(_)) && client.expose() == "hunter2-file");
    let Target::Webhook(webhook) = &config.actions[0].target else { panic!("{:?}", config.actions) };
    assert_eq!(webhook.secret.expose(), "whsec_hunter2");
    let printed = format!("{config:?}\n{config:#?}");
    assert!(printed.contains("***") && !printed.contains("hunter2"), "{printed}");
}

#[cfg(unix)]
#[test]
fn a_secret_that_everybody_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (file, mode) in [("client-secret", 0o600), ("hook", 0o644)] {
        let path = folder.path().join(file);
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let warnings = with_secrets(folder.path()).unwrap().warnings;
    let open: Vec<&str> =
        warnings.iter().map(|warning| warning.path.as_str()).filter(|path| path.contains("secret")).collect();
    assert_eq!(open, ["actions[0].webhook.secret.file"]);
}

#[test]
fn errors_never_repeat_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("client-secret"), b"hunter2\xff").unwrap();
    let wrong = with_secrets(folder.path()).unwrap_err().to_string();
    assert!(wrong.contains("it is not UTF-8") && wrong.contains("actions[0].webhook.secret.file"), "{wrong}");

    // Whatever is written in the place of a secret, and a secret put where none belongs.
    for literal in ["hunter2", "[hunter2]", "{value: hunter2}", "{env: [hunter2]}", "{env: A, file: hunter2}"]
    {
        let text = format!(
            "kafka: {{brokers: \"k:1\", security: {{protocol: ssl, key_password: {literal}}}}}\n{SMALL}"
        );
        let wrong = errors(&text);
        assert!(
            wrong.contains("kafka.security.key_password") && !wrong.contains("hunter2"),
            "{literal}: {wrong}"
        );
    }
    let url = "https://user:hunter2@x.example/";
    let action = format!(
        "actions: [{{name: a, kind: notify, target: webhook, webhook: {{url: \"{url}\", secret: {{env: S}}}}}}]"
    );
    let wrong = with_env(&format!("{SMALL}{action}\n"), &[("S", "x")]).unwrap_err().to_string();
    assert!(wrong.contains("webhook.url") && !wrong.contains("hunter2"), "{wrong}");
}

#[test]
fn a_variable_that_is_named_like_a_secret_holds_it() {
    let text = format!(
        "kafka: {{brokers: \"k:1\", security: {{protocol: sasl_ssl, mechanism: PLAIN, username: u, password: {{file: /nowhere}}}}}}\n{SMALL}"
    );
    let config = with_env(&text, &[("PLIMSOLL__KAFKA__SECURITY__PASSWORD", "hunter2")]).unwrap();
    let security = &config.require_kafka().unwrap().security;
    assert_eq!(security.password.as_ref().map(config::Secret::expose), Some("hunter2"));
    let config =
        with_env(&text, &[("PLIMSOLL__KAFKA__SECURITY__PASSWORD__ENV", "P"), ("P", "other")]).unwrap();
    let security = &config.require_kafka().unwrap().security;
    assert_eq!(security.password.as_ref().map(config::Secret::expose), Some("other"));
}
