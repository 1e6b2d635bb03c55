//! Tells from an address, `host:port`, who can use it.

use std::net::IpAddr;

/// Returns the part before the port, without the brackets of IPv6; none if the text is no address.
#[must_use]
pub fn host(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some(host)
}

/// Returns the IP of an address that names one.
#[must_use]
pub fn ip(address: &str) -> Option<IpAddr> {
    host(address)?.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// Returns true if each machine takes the address for one of its own.
#[must_use]
pub fn is_loopback(address: &str) -> bool {
    host(address) == Some("localhost") || ip(address).is_some_and(|ip| ip.is_loopback())
}

/// Returns true if the address stands for all of a machine's own: one to listen on, not to call.
/// `:50052`, which names no host, does so, too.
#[must_use]
pub fn is_unspecified(address: &str) -> bool {
    let names_no_host =
        || address.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    ip(address).is_some_and(|ip| ip.is_unspecified()) || names_no_host()
}

/// Returns the address under which others reach a listener: one on all interfaces under `host`,
/// which has brackets if it is an IPv6 address.
#[must_use]
pub fn reachable_at(listener: &str, host: &str) -> String {
    match listener.rsplit_once(':') {
        Some((_, port)) if is_unspecified(listener) => format!("{host}:{port}"),
        Some(_) | None => listener.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(host("node1:50051"), Some("node1"));
        assert_eq!(host("[::1]:50051"), Some("::1"));
        for text in ["", "node1", ":1", "node1:", "node1:x", "node1:65536"] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn loopback_and_unspecified_addresses_are_known_in_any_notation() {
        for address in
            ["127.0.0.1:1", "127.8.0.1:1", "localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1"]
        {
            assert!(is_loopback(address) && !is_unspecified(address), "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1", ":1"] {
            assert!(is_unspecified(address) && !is_loopback(address), "{address}");
        }
        for address in ["10.0.0.5:1", "node1:1", "[2001:db8::1]:1", "localhost", "", ":", ":x"] {
            assert!(!is_unspecified(address) && !is_loopback(address), "{address}");
        }
    }

    #[test]
    fn a_listener_on_all_interfaces_is_reached_under_its_host() {
        for listener in ["0.0.0.0:1", "[::]:1", ":1"] {
            assert_eq!(reachable_at(listener, "node1"), "node1:1");
            assert_eq!(reachable_at(listener, "[::1]"), "[::1]:1");
        }
        for listener in ["10.0.0.5:1", "127.0.0.1:1", "node2:1", ""] {
            assert_eq!(reachable_at(listener, "node1"), listener);
        }
    }
}
