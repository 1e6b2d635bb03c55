//! `login`: asks a cluster as whom it sees the caller, and keeps what it was called with.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::names::name_of;
use proto::v1;

use super::{Context, variable};
use crate::args::{ConnectionArgs, LoginArgs};
use crate::bearer::{TOKEN_VARIABLE, TokenError};
use crate::connection::Connection;
use crate::contexts::{self, ContextFile, SavedContext, StoredToken};
use crate::failure::Failure;
use crate::output::{self, Output};

/// Longest token that is read from a pipe: no client sends a longer one.
const TOKEN_BYTES_MAX: u64 = 8 << 10;

pub(super) async fn run(
    mut connection: ConnectionArgs,
    timeout: Option<Duration>,
    LoginArgs { name }: LoginArgs,
) -> Result<(), Failure> {
    contexts::check_name(&name)?;
    let file = ContextFile::find(variable)?;
    let mut all = file.read()?;

    let output = Output::new(connection.output);
    let token_file = connection.token_file.take().or_else(|| path("CLUSTERCTL_TOKEN_FILE"));
    let (token_file, token) = kept(token_file)?;
    connection.token_file.clone_from(&token_file);
    let with_token = |name: &str| match name {
        "CLUSTERCTL_TOKEN_FILE" => None,
        TOKEN_VARIABLE => token.as_ref().map(|token| token.expose().to_owned()),
        name => variable(name),
    };
    let connection = Connection::given(connection, with_token)?;
    let saved = saved(&connection, token_file, token)?;
    let context = Context::new(connection, output, timeout);
    let identity = context.client()?.who_am_i().await?;

    all.log_in(&name, saved);
    file.write(&all)?;
    output.data(&identity, output::caller_identity)?;
    output.message(format_args!("context '{name}' is in use: {}", advice(&identity)));
    Ok(())
}

/// Returns what stays of a login.
fn saved(
    connection: &Connection,
    token_file: Option<PathBuf>,
    token: Option<StoredToken>,
) -> Result<SavedContext, Failure> {
    let whole = |path: &Path| {
        std::path::absolute(path)
            .map_err(|source| Failure::ReadFile { path: path.to_owned(), source })
    };
    let trust = connection.trust.as_ref();
    let own = trust.and_then(|trust| trust.own.as_ref());
    Ok(SavedContext {
        endpoints: connection.endpoints.clone(),
        cacert: trust.map(|trust| whole(&trust.trusted)).transpose()?,
        cert: own.map(|(cert, _)| whole(cert)).transpose()?,
        key: own.map(|(_, key)| whole(key)).transpose()?,
        token_file: token_file.map(|path| whole(&path)).transpose()?,
        token,
    })
}

/// Returns the file of the token, if it will be there again, or else the token itself.
fn kept(token_file: Option<PathBuf>) -> Result<(Option<PathBuf>, Option<StoredToken>), TokenError> {
    let Some(path) = token_file else {
        return Ok((None, variable(TOKEN_VARIABLE).map(|text| StoredToken::new(&text))));
    };
    let is_standard = path == Path::new("-");
    if !is_standard && path.is_file() {
        return Ok((Some(path), None));
    }
    let mut text = String::new();
    let read = if is_standard {
        std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(&path);
        opened.and_then(|pipe| pipe.take(TOKEN_BYTES_MAX).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok((None, Some(StoredToken::new(&text)))),
        Err(source) => Err(TokenError::Unreadable { path, source }),
    }
}

fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

fn advice(identity: &v1::CallerIdentity) -> String {
    match name_of::<v1::Role>(identity.role) {
        role if role.is_empty() => {
            format!("{} has no role there, and may do nothing", identity.principal)
        }
        role => format!("{} has the role {role} there", identity.principal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_says_as_whom_one_is_seen() {
        let identity = |principal: &str, role: v1::Role| v1::CallerIdentity {
            principal: principal.to_owned(),
            role: role.into(),
            ..v1::CallerIdentity::default()
        };
        let told = advice(&identity("user:ada", v1::Role::Admin));
        assert_eq!(told, "user:ada has the role admin there");
        let told = advice(&identity("anonymous", v1::Role::Unspecified));
        assert_eq!(told, "anonymous has no role there, and may do nothing");
    }
}
