//! Converts users' tokens.

use std::time::Duration;

use cluster_state::{Role, Scope, Timestamp, TokenId, UserName, UserToken};

use super::faults::Faults;
use super::spec::check_labels;
use super::{Breach, Invalid, id, rfc3339, time};
use crate::problem::ErrorKind;
use crate::v1;

/// Maximum length of the description of a token.
const DESCRIPTION_BYTES_MAX: usize = 1_024;

/// Order to create a user's token, as it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUserToken {
    /// Public part; drawn when absent.
    pub id: Option<TokenId>,
    /// The user.
    pub user: UserName,
    /// Role of the user.
    pub role: Role,
    /// The only tasks that the user may know of; absent, all.
    pub scope: Option<Scope>,
    /// Time for which it is good; forever when absent.
    pub ttl: Option<Duration>,
    /// Note for people.
    pub description: String,
}

impl TryFrom<v1::CreateUserTokenRequest> for NewUserToken {
    type Error = Invalid;

    fn try_from(wire: v1::CreateUserTokenRequest) -> Result<Self, Invalid> {
        let role = wire.role().kind();
        let v1::CreateUserTokenRequest { user, role: _, scope, ttl, description, token_id } = wire;
        let user = id::<UserName>("/user", &user)?;
        let role = role.ok_or_else(|| Invalid::malformed("/role", &Breach::Role))?;
        let scope = scope.map(|text| read_scope(&text, role)).transpose()?;

        let ttl = ttl.as_deref().map(time::duration).transpose();
        let ttl = ttl.map_err(|breach| Invalid::malformed("/ttl", &breach))?;
        if ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(Invalid::malformed("/ttl", &Breach::ZeroDuration));
        }
        let bytes = description.len();
        if bytes > DESCRIPTION_BYTES_MAX {
            let breach = Breach::TooLong { bytes, max: DESCRIPTION_BYTES_MAX };
            return Err(Invalid::malformed("/description", &breach));
        }
        let given = Some(token_id).filter(|id| !id.is_empty());
        let given = given.map(|given| id::<TokenId>("/token_id", &given)).transpose()?;
        Ok(Self { id: given, user, role, scope, ttl, description })
    }
}

fn read_scope(text: &str, role: Role) -> Result<Scope, Invalid> {
    let malformed = |breach: &Breach| Invalid::malformed("/scope", breach);
    let (key, value) = text.split_once('=').ok_or_else(|| malformed(&Breach::Scope))?;
    if role > Role::Submitter {
        return Err(malformed(&Breach::ScopeOfRole));
    }
    let mut faults = Faults::default();
    check_labels("/scope", &[(key.to_owned(), value.to_owned())].into(), &mut faults);
    faults.finish(ErrorKind::InvalidValue, ())?;
    Ok(Scope { key: key.to_owned(), value: value.to_owned() })
}

/// Converts a user's token, without its secret, which nobody has.
#[must_use]
pub fn user_token(
    token: &UserToken,
    now: Timestamp,
    last_used_at: Option<Timestamp>,
) -> v1::UserToken {
    v1::UserToken {
        token_id: token.id.to_string(),
        user: token.user.to_string(),
        role: v1::Role::from(token.role).into(),
        scope: token.scope.as_ref().map(ToString::to_string),
        description: token.description.clone(),
        created_by: token.created_by.clone(),
        created_at: rfc3339(token.created_at),
        expires_at: token.expires_at.map(rfc3339),
        expired: token.is_expired(now),
        last_used_at: last_used_at.map(rfc3339),
    }
}

impl From<Role> for v1::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Submitter => Self::Submitter,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
        }
    }
}

impl v1::Role {
    /// Returns the role of the domain; none if it says nothing.
    #[must_use]
    pub const fn kind(self) -> Option<Role> {
        match self {
            Self::Unspecified => None,
            Self::Viewer => Some(Role::Viewer),
            Self::Submitter => Some(Role::Submitter),
            Self::Operator => Some(Role::Operator),
            Self::Admin => Some(Role::Admin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::CreateUserTokenRequest {
        let (user, role) = ("ada".to_owned(), v1::Role::Submitter.into());
        v1::CreateUserTokenRequest { user, role, ..v1::CreateUserTokenRequest::default() }
    }

    #[test]
    fn an_order_is_read_with_its_scope() {
        let wire = v1::CreateUserTokenRequest {
            scope: Some("team=a=b".to_owned()),
            ttl: Some("2h".to_owned()),
            token_id: "laptop".to_owned(),
            ..request()
        };
        let read = NewUserToken::try_from(wire).unwrap();
        let scope = Scope { key: "team".to_owned(), value: "a=b".to_owned() };
        assert_eq!((read.scope, read.role), (Some(scope), Role::Submitter));
        assert_eq!(read.ttl, Some(Duration::from_secs(7_200)));
        assert_eq!(read.id, Some("laptop".parse().unwrap()));
    }

    #[test]
    fn an_order_that_makes_no_sense_is_refused_by_its_place() {
        let place = |wire: v1::CreateUserTokenRequest| {
            NewUserToken::try_from(wire).unwrap_err().faults()[0].pointer.clone()
        };
        let scope = Some("team".to_owned());
        assert_eq!(place(v1::CreateUserTokenRequest { scope, ..request() }), "/scope");
        let (scope, role) = (Some("team=a".to_owned()), v1::Role::Admin.into());
        assert_eq!(place(v1::CreateUserTokenRequest { scope, role, ..request() }), "/scope");
        assert_eq!(place(v1::CreateUserTokenRequest { role: 0, ..request() }), "/role");
        assert_eq!(place(v1::CreateUserTokenRequest { role: 77, ..request() }), "/role");
        let user = "a b".to_owned();
        assert_eq!(place(v1::CreateUserTokenRequest { user, ..request() }), "/user");
        let ttl = Some("0s".to_owned());
        assert_eq!(place(v1::CreateUserTokenRequest { ttl, ..request() }), "/ttl");
    }
}
