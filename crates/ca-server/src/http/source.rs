//! The source of a request: the address that the rate limits use.

use std::net::IpAddr;

use hyper::HeaderMap;

use crate::policy::Network;

/// The header that proxies append the address of their client to.
const FORWARDED: &str = "x-forwarded-for";

/// The source of a request on a connection from `peer`.
///
/// That is `peer`, or if `peer` is one of `proxies`, the last address in `X-Forwarded-For` that is not a proxy's. A client can write
/// anything into the header, but only before that address.
///
/// `None` is the machine itself, which has no limits.
pub(super) fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    let is_proxy = |address: IpAddr| proxies.iter().any(|it| it.contains(address));
    if is_proxy(peer) {
        let mut last = None;
        let lines: Vec<_> = headers.get_all(FORWARDED).iter().collect();
        let said = lines
            .iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for text in said {
            last = address(text);
            match last {
                Some(address) if is_proxy(address) => {}
                _ => break,
            }
        }
        // An address that cannot be read is replaced by the proxy's own.
        if !lines.is_empty() {
            return Some(last.unwrap_or(peer));
        }
    }
    (!peer.is_loopback()).then_some(peer)
}

/// An address, as proxies write it: with a port, or in brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = |text: &str| {
        let text = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        text.and_then(|it| it.parse().ok())
    };
    let address: Option<IpAddr> = text.parse().ok().or_else(|| bare(text));
    let with_port = || text.parse().ok().map(|it: std::net::SocketAddr| it.ip());
    address.or_else(with_port).map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, lines: &[&str], proxies: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, line.parse().unwrap());
        }
        let proxies: Vec<_> = proxies
            .iter()
            .map(|it| Network::parse(it).unwrap())
            .collect();
        of(peer.parse().unwrap(), &headers, &proxies).map(|it| it.to_string())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn only_a_named_proxy_is_believed_and_only_its_own_word() {
        let proxies = ["127.0.0.1", "10.0.0.0/8"];
        for peer in ["127.0.0.1", "::ffff:127.0.0.1", "10.1.1.1"] {
            let of = |lines: &[&str]| source(peer, lines, &proxies);
            assert_eq!(of(&["192.0.2.1"]), some("192.0.2.1"));
            // The client has written the first address itself.
            assert_eq!(of(&["203.0.113.9, 192.0.2.1"]), some("192.0.2.1"));
            assert_eq!(of(&["203.0.113.9", "192.0.2.1"]), some("192.0.2.1"));
            assert_eq!(of(&["127.0.0.1,192.0.2.1"]), some("192.0.2.1"));
            // Two proxies in a row.
            assert_eq!(of(&["x, 192.0.2.1 , 10.2.2.2"]), some("192.0.2.1"));
            assert_eq!(of(&["192.0.2.1:4711"]), some("192.0.2.1"));
            assert_eq!(of(&["[2001:db8::1]:4711"]), some("2001:db8::1"));
            assert_eq!(of(&["[2001:db8::1]"]), some("2001:db8::1"));
            assert_eq!(of(&["::ffff:192.0.2.1"]), some("192.0.2.1"));
            // A client in the network of the proxies.
            assert_eq!(of(&["10.3.3.3"]), some("10.3.3.3"));
        }
        // Without the header, or with a header that cannot be read.
        assert_eq!(source("10.1.1.1", &[], &proxies), some("10.1.1.1"));
        assert_eq!(source("127.0.0.1", &[], &proxies), None);
        for bad in ["", "unknown", "192.0.2.1, _hidden"] {
            assert_eq!(source("127.0.0.1", &[bad], &proxies), some("127.0.0.1"));
        }
        // The header counts only if a proxy sends it.
        let line = ["127.0.0.1"];
        assert_eq!(source("192.0.2.1", &line, &proxies), some("192.0.2.1"));
        assert_eq!(source("127.0.0.1", &["192.0.2.1"], &[]), None);
        for own in ["::1", "127.1.2.3", "::ffff:127.0.0.1"] {
            assert_eq!(source(own, &[], &[]), None, "{own}");
        }
    }
}
