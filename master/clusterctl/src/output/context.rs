//! Formats contexts, without secrets.

use serde::Serialize;

use super::table::{Style, columns, fields};
use crate::contexts::SavedContext;

/// A context as it is shown: where secrets are, and none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownContext {
    /// Its name.
    pub name: String,
    /// True if it counts when none is named.
    pub current: bool,
    /// Masters to ask.
    pub endpoints: Vec<String>,
    /// Certificates that are trusted; absent, nothing is encrypted.
    pub cacert: Option<String>,
    /// Credentials, in words.
    pub credentials: String,
}

impl ShownContext {
    /// Leaves the secrets of a context out.
    #[must_use]
    pub fn new(name: &str, is_current: bool, context: &SavedContext) -> Self {
        let SavedContext { endpoints, cacert, cert, key: _, token_file, token } = context;
        let credentials = [
            cert.as_ref().map(|path| format!("certificate {}", path.display())),
            token_file.as_ref().map(|path| format!("token in {}", path.display())),
            token.as_ref().map(|_| "token".to_owned()),
        ];
        let credentials = credentials.into_iter().flatten().collect::<Vec<_>>();
        Self {
            name: name.to_owned(),
            current: is_current,
            endpoints: endpoints.clone(),
            cacert: cacert.as_ref().map(|path| path.display().to_string()),
            credentials: if credentials.is_empty() {
                "none".to_owned()
            } else {
                credentials.join(", ")
            },
        }
    }

    fn trust(&self) -> String {
        self.cacert.clone().unwrap_or_else(|| "none, not encrypted".to_owned())
    }
}

/// Formats contexts as rows.
#[must_use]
pub fn contexts(contexts: &[ShownContext], style: Style) -> String {
    let rows = contexts.iter().map(|context| {
        [
            if context.current { "*" } else { "" }.to_owned(),
            context.name.clone(),
            context.endpoints.join(","),
            context.trust(),
            context.credentials.clone(),
        ]
    });
    columns(["IN USE", "NAME", "ENDPOINTS", "CACERT", "CREDENTIALS"], rows.collect(), style)
}

/// Formats one context.
#[must_use]
pub fn context(context: &ShownContext, _: Style) -> String {
    fields(&[
        ("name", context.name.clone()),
        ("in use", if context.current { "yes" } else { "no" }.to_owned()),
        ("endpoints", context.endpoints.join(",")),
        ("cacert", context.trust()),
        ("credentials", context.credentials.clone()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::StoredToken;

    #[test]
    fn no_form_of_a_context_has_its_token() {
        let saved = SavedContext {
            endpoints: vec!["a:1".to_owned(), "b:1".to_owned()],
            token: Some(StoredToken::new("clu_a_secret")),
            cert: Some("/me.crt".into()),
            key: Some("/me.key".into()),
            ..SavedContext::default()
        };
        let shown = ShownContext::new("prod", true, &saved);
        let expected = "\
name:        prod
in use:      yes
endpoints:   a:1,b:1
cacert:      none, not encrypted
credentials: certificate /me.crt, token";
        assert_eq!(context(&shown, Style::Plain), expected);
        let table = contexts(std::slice::from_ref(&shown), Style::Plain);
        assert!(table.contains("prod") && !table.contains("secret"), "{table}");
        assert!(!serde_json::to_string(&shown).unwrap().contains("secret"));
    }
}
