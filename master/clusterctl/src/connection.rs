//! The cluster that is called, and the credentials: from flags, the environment, and a context.

use std::path::PathBuf;

use credentials::{Credentials, CredentialsError, TrustFiles};
use proto::channel::Dialer;
use proto::client::BearerToken;

use crate::args::ConnectionArgs;
use crate::bearer::{self, TOKEN_VARIABLE, TokenError};
use crate::contexts::{ContextFile, ContextsError, SavedContext};

/// Variable that names the context.
const CONTEXT_VARIABLE: &str = "CLUSTERCTL_CONTEXT";
/// Master that is asked when nothing names one.
const DEFAULT_ENDPOINT: &str = "127.0.0.1:50051";

/// A cluster, and the credentials for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Masters to ask.
    pub endpoints: Vec<String>,
    /// Certificates; without them nothing is encrypted.
    pub trust: Option<TrustFiles>,
    /// Token to present.
    pub token: Option<BearerToken>,
}

/// Reason that nobody knows what to call, or with what.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The context cannot be used.
    #[error(transparent)]
    Contexts(#[from] ContextsError),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A file is missing beside another.
    #[error("{given} is given, and {missing} is missing")]
    Incomplete { given: &'static str, missing: &'static str },
}

/// Values that one layer gives. Each may be missing.
#[derive(Default)]
struct Layer {
    endpoints: Vec<String>,
    cacert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    token_file: Option<PathBuf>,
    token: Option<String>,
}

impl Layer {
    fn of_flags(args: ConnectionArgs) -> Self {
        let ConnectionArgs { endpoints, token_file, cacert, cert, key, context: _, output: _ } =
            args;
        Self { endpoints, cacert, cert, key, token_file, token: None }
    }

    fn of_environment(variable: &impl Fn(&str) -> Option<String>) -> Self {
        let path = |name: &str| variable(name).map(PathBuf::from);
        let endpoints = variable("CLUSTERCTL_ENDPOINTS").unwrap_or_default();
        let endpoints = endpoints.split(',').map(str::trim).filter(|endpoint| !endpoint.is_empty());
        Self {
            endpoints: endpoints.map(str::to_owned).collect(),
            cacert: path("CLUSTERCTL_CACERT"),
            cert: path("CLUSTERCTL_CERT"),
            key: path("CLUSTERCTL_KEY"),
            token_file: path("CLUSTERCTL_TOKEN_FILE"),
            token: variable(TOKEN_VARIABLE),
        }
    }

    fn of_context(context: SavedContext) -> Self {
        let SavedContext { endpoints, cacert, cert, key, token_file, token } = context;
        let token = token.map(|token| token.expose().to_owned());
        Self { endpoints, cacert, cert, key, token_file, token }
    }

    /// Takes each value that is missing from a lower layer.
    fn over(self, lower: Self) -> Self {
        let endpoints = if self.endpoints.is_empty() { lower.endpoints } else { self.endpoints };
        Self {
            endpoints,
            cacert: self.cacert.or(lower.cacert),
            cert: self.cert.or(lower.cert),
            key: self.key.or(lower.key),
            token_file: self.token_file.or(lower.token_file),
            token: self.token.or(lower.token),
        }
    }

    fn has_credentials(&self) -> bool {
        [&self.cert, &self.key, &self.token_file].iter().any(|file| file.is_some())
            || self.token.is_some()
    }

    /// Takes what is missing from a context. Credentials are those of one user: with others, those of
    /// the context do not count.
    fn over_context(self, context: SavedContext) -> Self {
        let mut lower = Self::of_context(context);
        if self.has_credentials() {
            lower = Self { endpoints: lower.endpoints, cacert: lower.cacert, ..Self::default() };
        }
        self.over(lower)
    }

    fn into_connection(self) -> Result<Connection, ConnectionError> {
        let Self { mut endpoints, cacert, cert, key, token_file, token } = self;
        if endpoints.is_empty() {
            endpoints.push(DEFAULT_ENDPOINT.to_owned());
        }
        let incomplete = |given, missing| Err(ConnectionError::Incomplete { given, missing });
        let own = match (cert, key) {
            (Some(_), None) => return incomplete("a certificate (--cert)", "its key (--key)"),
            (None, Some(_)) => return incomplete("a key (--key)", "its certificate (--cert)"),
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
        };
        if own.is_some() && cacert.is_none() {
            return incomplete("a certificate (--cert)", "the one that is trusted (--cacert)");
        }
        let trust = cacert.map(|trusted| TrustFiles { trusted, own, cluster: None });
        let token = bearer::token(token_file.as_deref(), token)?;
        Ok(Connection { endpoints, trust, token })
    }
}

impl Connection {
    /// Returns what opens connections: in clear text without certificates to trust.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be used.
    pub fn dialer(&self) -> Result<Dialer, CredentialsError> {
        let Some(trust) = self.trust.clone() else { return Ok(Dialer::plain()) };
        Ok(Dialer::secured(Credentials::load(trust)?))
    }

    /// Returns what flags and the environment say, and no context.
    ///
    /// # Errors
    ///
    /// When it cannot be used.
    pub fn given(
        args: ConnectionArgs,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConnectionError> {
        let variable = not_empty(variable);
        Layer::of_flags(args).over(Layer::of_environment(&variable)).into_connection()
    }

    /// Returns what counts: flags before the environment before the current context before defaults. A
    /// context that a flag names counts before the environment.
    ///
    /// The credentials of a context are for its own cluster: if a flag or the environment names another
    /// and no flag names the context, no context counts.
    ///
    /// # Errors
    ///
    /// When it cannot be used.
    pub fn find(
        mut args: ConnectionArgs,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConnectionError> {
        let variable = not_empty(variable);
        let named = args.context.take();
        let flags = Layer::of_flags(args);
        if let Some(name) = named {
            let context = ContextFile::find(&variable)?.read()?.get(&name)?.clone();
            return flags.over_context(context).into_connection();
        }

        let given = flags.over(Layer::of_environment(&variable));
        if !given.endpoints.is_empty() {
            return given.into_connection();
        }
        let named = variable(CONTEXT_VARIABLE);
        // Without a home there are no contexts to look for.
        let contexts = match ContextFile::find(&variable) {
            Ok(file) => file.read()?,
            Err(ContextsError::NoPlace) if named.is_none() => return given.into_connection(),
            Err(error) => return Err(error.into()),
        };
        match named.as_ref().or(contexts.current.as_ref()) {
            Some(name) => given.over_context(contexts.get(name)?.clone()).into_connection(),
            None => given.into_connection(),
        }
    }
}

/// Takes a variable without a value for one that is missing.
fn not_empty(variable: impl Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> {
    move |name| variable(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
