//! Users: who calls, and tokens.

use proto::convert;
use proto::v1;

use crate::operations::{CallerIdentity, CreatedUserToken, UserTokens};

/// Converts a caller.
pub(crate) fn caller_identity(caller: CallerIdentity) -> v1::CallerIdentity {
    let CallerIdentity { principal, role, scope, cluster_name } = caller;
    v1::CallerIdentity {
        principal,
        role: role.map_or(v1::Role::Unspecified, v1::Role::from).into(),
        scope: scope.map(|scope| scope.to_string()),
        cluster_name,
    }
}

/// Converts a new token.
pub(crate) fn created_user_token(created: CreatedUserToken) -> v1::CreatedUserToken {
    let CreatedUserToken { id, token, expires_at } = created;
    v1::CreatedUserToken {
        token_id: id.to_string(),
        token,
        expires_at: expires_at.map(convert::rfc3339),
    }
}

/// Converts the tokens of all users.
pub(crate) fn user_tokens(all: UserTokens) -> v1::UserTokenList {
    let UserTokens { tokens, last_uses, now } = all;
    let tokens = tokens.iter().map(|token| {
        let last_used_at = last_uses.get(&token.id).copied();
        convert::user_token(token, now, last_used_at)
    });
    v1::UserTokenList { tokens: tokens.collect() }
}
