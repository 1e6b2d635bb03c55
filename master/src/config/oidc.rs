//! Keys under `access.oidc`: the identity provider whose tokens are good here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_state::Role;
use daemon::config::{ConfigError, Value, text};
use oidc::KeySource;

/// Longest difference between clocks that may be forgiven: a token must end soon after it says so.
const LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);

/// Keys under `access.oidc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// Issuer of the tokens, exactly as they name it; empty, none is trusted.
    pub issuer: String,
    /// Audience that they must name.
    pub audience: String,
    /// File or URL of the issuer's keys; empty, the issuer says where they are.
    pub jwks: String,
    /// Certificates that are trusted to issue those of the web server; empty, those of the system.
    pub ca: PathBuf,
    /// Claim that holds the name of a user.
    pub name_claim: String,
    /// Claim whose values stand for roles.
    pub role_claim: String,
    /// Roles that they stand for.
    pub roles: ClaimRoles,
    /// Label of the only tasks that viewers and submitters may know of.
    pub scope: ScopeClaim,
    /// Difference between clocks that is forgiven.
    pub leeway: Duration,
}

/// Roles by values of a claim: `VALUE=ROLE,…`, or a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimRoles(pub BTreeMap<String, Role>);

/// A label whose value is in a claim: `KEY=CLAIM`; empty, there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeClaim(pub Option<(String, String)>);

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            jwks: String::new(),
            ca: PathBuf::new(),
            // The only claim that a provider may not give to somebody else later.
            name_claim: "sub".to_owned(),
            role_claim: "roles".to_owned(),
            roles: ClaimRoles::default(),
            scope: ScopeClaim::default(),
            leeway: Duration::from_secs(30),
        }
    }
}

impl OidcConfig {
    /// Refuses keys that do not fit together.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refused = |key, detail: &str| Err(ConfigError::conflict(key, detail.to_owned()));
        if self.issuer.is_empty() {
            let is_meant = *self != Self::default();
            return if is_meant {
                refused("access.oidc.issuer", "is missing, and other keys of access.oidc are given")
            } else {
                Ok(())
            };
        }
        if self.audience.is_empty() {
            let detail =
                "is missing: a token that was issued for another service must not count here";
            return refused("access.oidc.audience", detail);
        }
        if self.roles.0.is_empty() {
            return refused("access.oidc.roles", "is missing: nobody would have a role");
        }
        for (key, claim) in [
            ("access.oidc.name_claim", &self.name_claim),
            ("access.oidc.role_claim", &self.role_claim),
        ] {
            if claim.is_empty() {
                return refused(key, "must name a claim");
            }
        }
        if self.leeway > LEEWAY_MAX {
            return refused("access.oidc.leeway", "must be 5m or less");
        }
        let key = if self.jwks.is_empty() { "access.oidc.issuer" } else { "access.oidc.jwks" };
        match KeySource::named(&self.jwks, &self.issuer) {
            Ok(KeySource::File(_)) if self.ca != Path::new("") => {
                refused("access.oidc.ca", "is for a web server, and access.oidc.jwks is a file")
            }
            Ok(_) => Ok(()),
            Err(error) => refused(key, &error.to_string()),
        }
    }
}

impl Value for ClaimRoles {
    fn parse(text: &str) -> Result<Self, String> {
        Self::of(BTreeMap::parse(text)?)
    }

    fn from_toml(value: toml::Value) -> Result<Self, String> {
        Self::of(BTreeMap::from_toml(value)?)
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let names = self.0.iter().map(|(value, role)| (value.clone(), role.name().to_owned()));
        names.collect::<BTreeMap<_, _>>().to_toml()
    }
}

impl ClaimRoles {
    fn of(names: BTreeMap<String, String>) -> Result<Self, String> {
        let roles = names.into_iter().map(|(value, name)| {
            let role = name.parse::<Role>().map_err(|error| error.to_string())?;
            Ok((value, role))
        });
        roles.collect::<Result<_, String>>().map(Self)
    }
}

impl Value for ScopeClaim {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        match text.split_once('=') {
            Some((key, claim)) if !key.is_empty() && !claim.is_empty() => {
                Ok(Self(Some((key.to_owned(), claim.to_owned()))))
            }
            Some(_) | None => Err(format!("'{text}' is not KEY=CLAIM")),
        }
    }

    fn to_toml(&self) -> Option<toml::Value> {
        self.0.as_ref().and_then(|(key, claim)| text(format!("{key}={claim}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> OidcConfig {
        OidcConfig {
            issuer: "https://id.example.com".to_owned(),
            audience: "cloudai".to_owned(),
            roles: ClaimRoles::parse("a=admin").unwrap(),
            ..OidcConfig::default()
        }
    }

    fn refused(change: impl FnOnce(&mut OidcConfig)) -> String {
        let mut config = good();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn keys_that_do_not_fit_together_are_named() {
        assert!(good().check().is_ok() && OidcConfig::default().check().is_ok());
        assert!(
            refused(|it| it.issuer = String::new()).starts_with("access.oidc.issuer: is missing")
        );
        assert!(
            refused(|it| it.audience = String::new())
                .starts_with("access.oidc.audience: is missing")
        );
        assert!(
            refused(|it| it.roles = ClaimRoles::default()).contains("nobody would have a role")
        );
        assert!(refused(|it| it.name_claim = String::new()).starts_with("access.oidc.name_claim"));
        assert!(refused(|it| it.leeway = Duration::from_secs(301)).contains("5m or less"));
        let told = refused(|it| it.issuer = "id.example.com".to_owned());
        assert!(told.starts_with("access.oidc.issuer: expected a URL"), "{told}");
        let told = refused(|it| it.jwks = "http://id.example.com/keys".to_owned());
        assert!(told.starts_with("access.oidc.jwks: expected https"), "{told}");
        let told = refused(|it| (it.jwks, it.ca) = ("/keys".to_owned(), "/ca".into()));
        assert!(told.starts_with("access.oidc.ca: is for a web server"), "{told}");
    }

    #[test]
    fn values_of_claims_stand_for_roles() {
        let roles = ClaimRoles::parse("admins=admin, devs=submitter").unwrap();
        let expected = [("admins", Role::Admin), ("devs", Role::Submitter)];
        assert_eq!(roles.0, expected.map(|(value, role)| (value.to_owned(), role)).into());
        assert!(ClaimRoles::parse("a=root").unwrap_err().starts_with("'root' is no role"));
        assert!(ClaimRoles::parse("admin").is_err());
        assert_eq!(ScopeClaim::parse("a=b").unwrap().0, Some(("a".to_owned(), "b".to_owned())));
        for text in ["a", "=b", "a="] {
            assert!(ScopeClaim::parse(text).is_err(), "{text}");
        }
    }
}
