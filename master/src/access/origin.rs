//! The other end of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use cluster_state::ShownCertificate;
use tokio::net::TcpStream;

use super::Principal;

/// Other end of a connection, which every request on it carries among its extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// Address of the peer, or of a proxy before it; unknown if it is gone already.
    pub(crate) remote: Option<SocketAddr>,
    /// Address of this master that was called.
    pub(crate) local: Option<SocketAddr>,
    /// Principal that the peer's certificate names; none without one.
    pub(crate) identity: Option<Arc<Principal>>,
    /// That certificate.
    pub(crate) certificate: Option<Arc<ShownCertificate>>,
    /// True if the connection is encrypted.
    pub(crate) is_secured: bool,
}

impl Origin {
    /// The other end of a connection in clear text.
    pub(crate) fn of(stream: &TcpStream) -> Self {
        let (remote, local) = (stream.peer_addr().ok(), stream.local_addr().ok());
        Self { remote, local, identity: None, certificate: None, is_secured: false }
    }

    /// Returns the address that stands for the peer where callers are told apart by it: of IPv6 a
    /// client has a whole network.
    pub(crate) fn site(&self) -> IpAddr {
        let ip = self.remote.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |remote| remote.ip());
        match ip.to_canonical() {
            ip @ IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        }
    }

    /// The same, encrypted.
    pub(crate) fn secured(self, shown: Option<(Principal, ShownCertificate)>) -> Self {
        let (identity, certificate) = shown.unzip();
        Self {
            identity: identity.map(Arc::new),
            certificate: certificate.map(Arc::new),
            is_secured: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(ip: &str) -> String {
        let remote = Some(SocketAddr::new(ip.parse().unwrap(), 1));
        Origin { remote, ..Origin::default() }.site().to_string()
    }

    #[test]
    fn a_site_is_an_address_and_of_ipv6_a_network() {
        assert_eq!(site("10.0.0.1"), "10.0.0.1");
        assert_eq!(site("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(site("2001:db8::1"), site("2001:db8::ffff:1"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:0:1::1"));
    }
}
