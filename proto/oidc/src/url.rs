//! Addresses of an identity provider.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

/// Address that is called: `https`, or `http` on this machine itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    host: String,
    is_secured: bool,
}

/// An address that is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is none.
    #[error("expected a URL such as https://id.example.com/realm")]
    Form,
    /// Others could read and change what it answers.
    #[error("expected https: http is for this machine itself only")]
    ClearText,
}

impl Url {
    /// Returns the host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_secured { 443 } else { 80 })
    }

    /// Returns true if the connection is encrypted.
    #[must_use]
    pub const fn is_secured(&self) -> bool {
        self.is_secured
    }

    /// Returns host and port as a request names them.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", http::uri::Authority::as_str)
    }

    /// Returns the path with the query.
    pub(crate) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
    }
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri = text.parse::<Uri>().map_err(|_| InvalidUrl::Form)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(InvalidUrl::Form)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(InvalidUrl::Form);
        }
        let is_secured = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(InvalidUrl::Form),
        };
        let address = host.parse::<IpAddr>();
        let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        if !is_secured && !is_here {
            return Err(InvalidUrl::ClearText);
        }
        Ok(Self { uri, host, is_secured })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_called_in_clear_text() {
        let url = |text: &str| text.parse::<Url>();
        let found = url("https://id.example.com/realm?x=1").unwrap();
        assert_eq!((found.host(), found.port(), found.is_secured()), ("id.example.com", 443, true));
        assert_eq!((found.authority(), found.path()), ("id.example.com", "/realm?x=1"));
        let found = url("http://[::1]:8080").unwrap();
        assert_eq!((found.host(), found.port(), found.path()), ("::1", 8080, "/"));
        assert!(url("http://127.0.0.1/keys").is_ok() && url("http://localhost/keys").is_ok());
        assert_eq!(url("http://id.example.com/"), Err(InvalidUrl::ClearText));
        assert_eq!(url("http://localhost.example.com/"), Err(InvalidUrl::ClearText));
        for text in ["", "/keys", "id.example.com", "ftp://a/b", "https://", "https://a@b/c", "a b"]
        {
            assert_eq!(url(text), Err(InvalidUrl::Form), "{text}");
        }
    }
}
