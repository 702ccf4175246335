//! The HTTP interface: an address, tokens that can be told apart, and no way for a token to travel in
//! the clear unless that was asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sha2::{Digest as _, Sha256};

use super::Surroundings;
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw;
use crate::config::tree::{Anonymous, Http, Tls, Token};
use crate::safety::Role;

pub(super) fn http(raw: &raw::Http, around: &Surroundings<'_>, report: &mut Report) -> Option<Http> {
    let path = KeyPath::root("http");
    let listen = listen(raw, &path, report);
    let tokens = tokens(&raw.tokens, &path.key("tokens"), report);
    let tls = match &raw.tls {
        Some(tls) => Some(self::tls(tls, &path.key("tls"), around, report)?),
        None => None,
    };
    let listen = listen?;
    let loopback = listen.ip().is_loopback();
    let anonymous = raw.anonymous.unwrap_or(if loopback { Anonymous::Read } else { Anonymous::Metrics });
    if !loopback && anonymous == Anonymous::Read {
        let wrong = "can be reached from other machines, and `anonymous: read` shows them everything";
        report.warn(&path.key("listen"), format!("{listen} {wrong}"));
    }
    if !loopback && tls.is_none() && !raw.tokens.is_empty() && !report.lost(&path.key("tls")) {
        let cure = "set `http.tls`, listen on a loopback address behind something that has TLS, or, on a network that nobody else can read, set `http.insecure_commands: true`";
        if raw.insecure_commands {
            report.warn(&path.key("insecure_commands"), "tokens travel in the clear");
        } else {
            let message = format!("tokens would travel to {listen} in the clear: {cure}");
            report.error(&path.key("tokens"), message);
        }
    }
    Some(Http { listen, anonymous, tokens: tokens?, tls, insecure_commands: raw.insecure_commands })
}

fn listen(raw: &raw::Http, path: &KeyPath, report: &mut Report) -> Option<SocketAddr> {
    let text = raw.listen.replacen("localhost:", "127.0.0.1:", 1);
    let Ok(listen) = text.parse::<SocketAddr>() else {
        report.error(
            &path.key("listen"),
            format!("`{}` is not an address and port; write `127.0.0.1:9464` or `[::1]:9464`", raw.listen),
        );
        return None;
    };
    Some(listen)
}

fn tokens(raw: &[raw::Token], path: &KeyPath, report: &mut Report) -> Option<Vec<Token>> {
    report.distinct(path, raw.iter().map(|token| token.name.as_str()));
    let mut known: BTreeMap<[u8; 32], &str> = BTreeMap::new();
    let mut tokens = Vec::new();
    for (index, token) in raw.iter().enumerate() {
        let path = path.at(index);
        report.plain_name(&path.key("name"), &token.name);
        let Some(sha256) = digest(&token.sha256) else {
            // Somebody may have written the token itself here.
            let message = "must be 64 hexadecimal digits, the SHA-256 that `plimsoll token` prints";
            report.error(&path.key("sha256"), message);
            continue;
        };
        if sha256 == <[u8; 32]>::from(Sha256::digest(b"")) {
            report.error(&path.key("sha256"), "is that of an empty token");
        }
        if let Some(other) = known.insert(sha256, &token.name) {
            report.error(&path.key("sha256"), format!("is already that of `{other}`"));
        }
        let role = match token.role {
            raw::PersonRole::Viewer => Role::Viewer,
            raw::PersonRole::Operator => Role::Operator,
            raw::PersonRole::Approver => Role::Approver,
        };
        tokens.push(Token { name: token.name.clone(), role, sha256 });
    }
    (tokens.len() == raw.len()).then_some(tokens)
}

/// 32 bytes of 64 hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let bytes: Vec<u8> =
        digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if text.len() == 64 { bytes.try_into().ok() } else { None }
}

fn tls(raw: &raw::Tls, path: &KeyPath, around: &Surroundings<'_>, report: &mut Report) -> Option<Tls> {
    let certificate_file = report.file(&path.key("certificate_file"), &raw.certificate_file, around);
    let key_file = report.file(&path.key("key_file"), &raw.key_file, around);
    let client_ca_file = match &raw.client_ca_file {
        Some(file) => Some(report.file(&path.key("client_ca_file"), file, around)?),
        None => None,
    };
    let key_file = key_file?;
    report.warn_if_open(&path.key("key_file"), &key_file);
    Some(Tls { certificate_file: certificate_file?, key_file, client_ca_file })
}
