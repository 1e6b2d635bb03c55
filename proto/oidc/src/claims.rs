//! Claims of a token, and what they must say.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::token::Rejected;

/// Things that a token must say of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Issuer, exactly.
    pub issuer: String,
    /// Audience, exactly: the only one of the token, or one of several.
    pub audience: String,
    /// Difference between clocks that is forgiven.
    pub leeway: Duration,
}

/// Claims of a token whose signature is right.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads claims, and refuses those that say something else than is expected. `now` is the time since
    /// 1970.
    pub(crate) fn read(
        payload: &[u8],
        expected: &Expected,
        now: Duration,
    ) -> Result<Self, Rejected> {
        let claims = Self(serde_json::from_slice(payload).map_err(|_| Rejected::Claims)?);
        if claims.get("iss").and_then(Value::as_str) != Some(&expected.issuer) {
            return Err(Rejected::Issuer);
        }
        if !claims.texts("aud").is_some_and(|all| all.contains(&expected.audience.as_str())) {
            return Err(Rejected::Audience);
        }
        let (now, leeway) = (now.as_secs_f64(), expected.leeway.as_secs_f64());
        let expiry = claims.get("exp").and_then(Value::as_f64);
        if expiry.is_none_or(|expiry| expiry + leeway <= now) {
            return Err(Rejected::Expired);
        }
        // A beginning that cannot be read is none that has passed.
        let begin = claims.get("nbf").map(|begin| begin.as_f64().ok_or(Rejected::Claims));
        if begin.transpose()?.is_some_and(|begin| begin - leeway > now) {
            return Err(Rejected::TooEarly);
        }
        Ok(claims)
    }

    /// Returns a claim: that of the name or, if there is none, the one that a path of names with dots
    /// between them leads to, such as `realm_access.roles`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Self(claims) = self;
        claims.get(name).or_else(|| {
            let mut names = name.split('.');
            let first = claims.get(names.next()?)?;
            names.try_fold(first, |inner, name| inner.as_object()?.get(name))
        })
    }

    /// Returns the texts of a claim: one, or a list of them. None if it is missing or something else.
    #[must_use]
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        match self.get(name)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }
}

impl FromIterator<(String, Value)> for Claims {
    /// Makes claims that were never in a token.
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(claims: T) -> Self {
        Self(claims.into_iter().collect())
    }
}
