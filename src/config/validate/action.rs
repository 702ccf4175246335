//! Actions: a target that is whole, and addresses that do not send evidence in the clear.

use super::Surroundings;
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw::{self, TargetKind};
use crate::config::tree::{Action, Target, Webhook};

pub(super) fn actions(
    root: &raw::Root,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Vec<Action>> {
    let list = KeyPath::root("actions");
    report.distinct(&list, root.actions.iter().map(|action| action.name.as_str()));
    let mut actions = Vec::new();
    for (index, raw) in root.actions.iter().enumerate() {
        let path = list.at(index);
        let wanted = root.policies.iter().any(|policy| policy.actions.contains(&raw.name));
        if !wanted && !report.removed.touches(&KeyPath::root("policies")) {
            report.warn(&path, format!("no policy asks for `{}`", raw.name));
        }
        actions.push(action(raw, &path, around, report));
    }
    actions.into_iter().collect()
}

fn action(
    raw_action: &raw::Action,
    path: &KeyPath,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Action> {
    report.plain_name(&path.key("name"), &raw_action.name);
    let deadline = report.positive(&path.key("deadline"), &raw_action.deadline);
    let lost_deadline = report.lost(&path.key("deadline"));
    let webhook = raw_action.webhook.as_ref().map(|raw| {
        let path = path.key("webhook");
        if let Err(wrong) = address(&raw.url) {
            report.error(&path.key("url"), wrong);
        }
        let timeout = report.positive(&path.key("timeout"), &raw.timeout);
        if let (Some(timeout), Some(deadline)) = (timeout, deadline)
            && timeout > deadline
            && !lost_deadline
            && !report.lost(&path.key("timeout"))
        {
            report.error(&path.key("timeout"), "must not be longer than the action's `deadline`");
        }
        // Under `dry_run` nothing is signed, so that a policy can be tried before its key exists.
        let secret = match raw_action.target {
            TargetKind::Webhook => report.secret(&path.key("secret"), &raw.secret, around).map(Some),
            TargetKind::DryRun => Some(None),
        };
        let ca_file = match &raw.ca_file {
            Some(file) => report.file(&path.key("ca_file"), file, around).map(Some),
            None => Some(None),
        };
        let (secret, ca_file, timeout) = (secret?, ca_file?, timeout?);
        Some(secret.map(|secret| Webhook { url: raw.url.clone(), secret, ca_file, timeout }))
    });
    let target = match (raw_action.target, webhook) {
        (TargetKind::DryRun, None | Some(Some(_))) => Some(Target::DryRun),
        (TargetKind::Webhook, Some(webhook)) => webhook.flatten().map(Target::Webhook),
        (TargetKind::DryRun, Some(None)) => None,
        (TargetKind::Webhook, None) if report.lost(&path.key("webhook")) => None,
        (TargetKind::Webhook, None) => {
            report.error(&path.key("target"), "`webhook` needs a `webhook` with `url` and `secret`");
            None
        }
    };
    Some(Action {
        name: raw_action.name.clone(),
        kind: raw_action.kind,
        target: target?,
        deadline: deadline?,
    })
}

/// Whether calls may go to `url`: `https`, or `http` on a loopback address, and no user or password
/// in it, which would end up in logs. The message never repeats the address.
fn address(url: &str) -> Result<(), &'static str> {
    const WRONG: &str = "must be an address such as https://deploy.example.com/plimsoll";
    let (scheme, rest) = url.split_once("://").ok_or(WRONG)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if url.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(WRONG);
    }
    if authority.contains('@') {
        return Err("must not hold a user or password; calls are signed with `secret`");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    if host.is_empty() || !(port.is_empty() || port.parse::<u16>().is_ok()) {
        return Err(WRONG);
    }
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => {
            Err("must be `https`: what is sent is evidence about a model; `http` is for loopback addresses")
        }
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn evidence_leaves_the_machine_encrypted_only() {
        for url in
            ["https://a.example/x", "http://127.0.0.1:8080/x", "http://localhost/", "http://[::1]:9/x?y"]
        {
            assert_eq!(address(url), Ok(()), "{url}");
        }
        for url in [
            "http://a.example/x",
            "http://127.0.0.1.example/x",
            "http://localhost@a.example/",
            "https://user:pass@a.example/",
            "ftp://localhost/",
            "https://",
            "https://a:port/",
            "https://a b/",
            "a.example",
        ] {
            assert!(address(url).is_err(), "{url}");
        }
    }
}
