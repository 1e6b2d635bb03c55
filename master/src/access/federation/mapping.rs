//! Rules by which the claims of a token make its bearer a user. Pure.

use std::collections::BTreeMap;

use cluster_state::{Role, Scope};
use oidc::Claims;

use crate::access::Principal;
use crate::access::principal::Account;
use crate::config::OidcConfig;

/// Longest name in bytes: subjects of OpenID Connect have up to 255 and mostly few.
const NAME_BYTES_MAX: usize = 128;

/// Reason that the bearer of a good token is nobody here. The texts name claims, and hold no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unmapped {
    #[error(
        "the claim '{0}' (access.oidc.name_claim) of the token is missing or no name of 1 to \
         {NAME_BYTES_MAX} printable ASCII characters without spaces"
    )]
    Name(String),
    #[error(
        "the claim '{0}' (access.oidc.role_claim) of the token is missing or neither a text nor a list \
         of texts"
    )]
    NoRoles(String),
    #[error("no value of the claim '{0}' in the token stands for a role here (access.oidc.roles)")]
    Role(String),
    #[error(
        "the claim '{0}' (access.oidc.scope) of the token is missing or not one text, and without it \
         nobody knows which tasks its bearer may know of"
    )]
    Scope(String),
}

/// Rules by which claims become a user.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    name_claim: String,
    role_claim: String,
    roles: BTreeMap<String, Role>,
    /// Key of the label, and the claim that holds its value.
    scope: Option<(String, String)>,
}

impl Mapping {
    pub(super) fn of(config: &OidcConfig) -> Self {
        Self {
            name_claim: config.name_claim.clone(),
            role_claim: config.role_claim.clone(),
            roles: config.roles.0.clone(),
            scope: config.scope.0.clone(),
        }
    }

    /// Returns the user that claims describe: the highest role that any value stands for counts.
    pub(super) fn principal(&self, claims: &Claims) -> Result<Principal, Unmapped> {
        let name = only(claims, &self.name_claim).filter(|name| is_name(name));
        let name = name.ok_or_else(|| Unmapped::Name(self.name_claim.clone()))?;
        let values = claims.texts(&self.role_claim);
        let values = values.ok_or_else(|| Unmapped::NoRoles(self.role_claim.clone()))?;
        let role = values.iter().filter_map(|value| self.roles.get(*value)).max();
        let role = *role.ok_or_else(|| Unmapped::Role(self.role_claim.clone()))?;
        let scope = match (&self.scope, role) {
            (Some((key, claim)), Role::Viewer | Role::Submitter) => {
                let value = only(claims, claim).filter(|value| !value.is_empty());
                let value = value.ok_or_else(|| Unmapped::Scope(claim.clone()))?;
                Some(Scope { key: key.clone(), value: value.to_owned() })
            }
            // Those who run the cluster see all of it.
            (Some(_), Role::Operator | Role::Admin) | (None, _) => None,
        };
        Ok(Principal::User { name: Account::Federated(name.into()), role, scope })
    }
}

/// Returns the text of a claim that has exactly one.
fn only<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    match claims.texts(name)?.as_slice() {
        &[text] => Some(text),
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{ClaimRoles, ScopeClaim};

    fn mapped(claims: &Value, scope: Option<&str>) -> Result<String, Unmapped> {
        let scope = scope.map(|claim| ("team".to_owned(), claim.to_owned()));
        let roles = [("admins", Role::Admin), ("devs", Role::Submitter), ("all", Role::Viewer)];
        let roles = roles.map(|(value, role)| (value.to_owned(), role));
        let config = OidcConfig {
            role_claim: "groups".to_owned(),
            roles: ClaimRoles(roles.into()),
            scope: ScopeClaim(scope),
            ..OidcConfig::default()
        };
        let claims = Claims::from_iter(claims.as_object().unwrap().clone());
        let principal = Mapping::of(&config).principal(&claims)?;
        let Principal::User { role, scope, .. } = &principal else { panic!("no user") };
        let scope = scope.as_ref().map(|scope| format!(" {scope}")).unwrap_or_default();
        Ok(format!("{principal} {role}{scope}"))
    }

    #[test]
    fn the_highest_role_of_all_values_counts() {
        let of = |groups: Value| mapped(&json!({"sub": "ada", "groups": groups}), None);
        assert_eq!(of(json!("devs")).unwrap(), "user:oidc/ada submitter");
        assert_eq!(of(json!(["all", "x", "admins", "devs"])).unwrap(), "user:oidc/ada admin");
        for none in [json!([]), json!(["x"]), json!(""), json!("admins devs"), json!("Admins")] {
            assert_eq!(of(none), Err(Unmapped::Role("groups".to_owned())));
        }
        for other in [json!(null), json!(1), json!(["admins", 1]), json!({"admins": true})] {
            assert_eq!(of(other), Err(Unmapped::NoRoles("groups".to_owned())));
        }
        let missing = mapped(&json!({"sub": "ada"}), None).unwrap_err();
        assert_eq!(missing, Unmapped::NoRoles("groups".to_owned()));
    }

    #[test]
    fn a_name_is_one_visible_word() {
        let of = |sub: Value| mapped(&json!({"sub": sub, "groups": "all"}), None);
        assert_eq!(of(json!("auth0|5f7c/a=b")).unwrap(), "user:oidc/auth0|5f7c/a=b viewer");
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for none in [json!(null), json!(""), json!("a b"), json!("ä"), json!("a\n"), json!(long)] {
            assert_eq!(of(none), Err(Unmapped::Name("sub".to_owned())));
        }
        assert_eq!(of(json!(["ada", "root"])), Err(Unmapped::Name("sub".to_owned())));
    }

    #[test]
    fn without_its_claim_a_scope_opens_nothing() {
        let of = |groups: &str, team: Value| {
            mapped(&json!({"sub": "ada", "groups": groups, "dept": team}), Some("dept"))
        };
        assert_eq!(of("devs", json!("blue")).unwrap(), "user:oidc/ada submitter team=blue");
        assert_eq!(of("admins", json!(null)).unwrap(), "user:oidc/ada admin");
        for none in [json!(null), json!(""), json!(["blue", "red"]), json!(1)] {
            assert_eq!(of("all", none), Err(Unmapped::Scope("dept".to_owned())));
        }
    }
}
