//! Which addresses calls may go to.

/// Whether calls may go to `url`: `https`, or `http` on a loopback address, and no user or password
/// in it, which would end up in logs. The message never repeats the address.
pub(super) fn address(url: &str) -> Result<(), &'static str> {
    const WRONG: &str = "must be an address such as https://deploy.example.com/plimsoll";
    let (scheme, rest) = url.split_once("://").ok_or(WRONG)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if url.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(WRONG);
    }
    if authority.contains('@') {
        return Err("must not hold a user or password, which would end up in logs");
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
