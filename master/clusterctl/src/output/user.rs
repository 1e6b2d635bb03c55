//! Formats callers, and tokens of users.

use proto::names::name_of;
use proto::v1;

use super::table::{Style, columns, fields};

/// Formats a caller.
#[must_use]
pub fn caller_identity(caller: &v1::CallerIdentity, _: Style) -> String {
    let role = match name_of::<v1::Role>(caller.role) {
        role if role.is_empty() => "none".to_owned(),
        role => role.into_owned(),
    };
    fields(&[
        ("cluster", caller.cluster_name.clone()),
        ("principal", caller.principal.clone()),
        ("role", role),
        ("scope", caller.scope.clone().unwrap_or_else(|| "all tasks".to_owned())),
    ])
}

/// Formats tokens of users as rows.
#[must_use]
pub fn user_tokens(tokens: &[v1::UserToken], style: Style) -> String {
    let or_nothing = |text: Option<&String>| {
        text.filter(|text| !text.is_empty()).cloned().unwrap_or_else(|| "-".to_owned())
    };
    let rows = tokens.iter().map(|token| {
        [
            token.token_id.clone(),
            token.user.clone(),
            name_of::<v1::Role>(token.role).into_owned(),
            or_nothing(token.scope.as_ref()),
            if token.expired { "expired" } else { "valid" }.to_owned(),
            token.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
            or_nothing(token.last_used_at.as_ref()),
            token.created_by.clone(),
            or_nothing(Some(&token.description)),
        ]
    });
    let titles = [
        "TOKEN",
        "USER",
        "ROLE",
        "SCOPE",
        "STATE",
        "EXPIRES",
        "LAST USED",
        "CREATED BY",
        "DESCRIPTION",
    ];
    columns(titles, rows.collect(), style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_shown_with_its_rights() {
        let caller = v1::CallerIdentity {
            principal: "user:oidc/ada".to_owned(),
            role: v1::Role::Viewer.into(),
            scope: Some("team=blue".to_owned()),
            cluster_name: "prod".to_owned(),
        };
        let expected = "\
cluster:   prod
principal: user:oidc/ada
role:      viewer
scope:     team=blue";
        assert_eq!(caller_identity(&caller, Style::Plain), expected);
        let nobody = v1::CallerIdentity { principal: "anonymous".to_owned(), ..Default::default() };
        assert!(caller_identity(&nobody, Style::Plain).contains("role:      none"));
    }

    #[test]
    fn tokens_of_users_are_rows_without_secrets() {
        let token = v1::UserToken {
            token_id: "abc".to_owned(),
            user: "ci".to_owned(),
            role: v1::Role::Submitter.into(),
            scope: Some("team=blue".to_owned()),
            created_by: "user:ada".to_owned(),
            ..v1::UserToken::default()
        };
        let expected = "\
TOKEN  USER  ROLE       SCOPE      STATE  EXPIRES  LAST USED  CREATED BY  DESCRIPTION
abc    ci    submitter  team=blue  valid  never    -          user:ada    -";
        assert_eq!(user_tokens(&[token], Style::Plain), expected);
    }
}
