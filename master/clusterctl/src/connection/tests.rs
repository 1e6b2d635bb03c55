//! Precedence of flags, environment and contexts.

use std::collections::BTreeMap;
use std::fs;

use clap::Parser;

use super::*;
use crate::args::Args;
use crate::contexts::{Contexts, StoredToken};

/// A file with contexts, removed at the end.
struct World {
    path: PathBuf,
}

impl World {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("clusterctl-{name}-{}.toml", std::process::id()));
        let world = Self { path };
        let mut contexts = Contexts::default();
        let context = |endpoint: &str, token: &str| SavedContext {
            endpoints: vec![endpoint.to_owned()],
            cacert: Some(format!("/{endpoint}/ca").into()),
            token: Some(StoredToken::new(token)),
            ..SavedContext::default()
        };
        contexts.log_in("prod", context("prod:1", "clu_prod_x"));
        contexts.log_in("dev", context("dev:1", "clu_dev_x"));
        ContextFile::find(|_| Some(world.path.display().to_string()))
            .unwrap()
            .write(&contexts)
            .unwrap();
        world
    }

    fn find(&self, flags: &str, variables: &[(&str, &str)]) -> Result<Connection, ConnectionError> {
        let args = ["clusterctl"].into_iter().chain(flags.split_whitespace()).chain(["status"]);
        let args = Args::try_parse_from(args).unwrap().connection;
        let mut known = variables.iter().copied().collect::<BTreeMap<_, _>>();
        let path = self.path.display().to_string();
        known.insert("CLUSTERCTL_CONFIG", &path);
        Connection::find(args, |name| known.get(name).map(|value| (*value).to_owned()))
    }

    /// Returns the endpoint, the authority and the token.
    fn found(
        &self,
        flags: &str,
        variables: &[(&str, &str)],
    ) -> (String, String, Option<BearerToken>) {
        let Connection { endpoints, trust, token } = self.find(flags, variables).unwrap();
        let trusted = trust.map(|trust| trust.trusted.display().to_string());
        (endpoints.join(","), trusted.unwrap_or_default(), token)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

fn token(text: &str) -> Option<BearerToken> {
    (!text.is_empty()).then(|| BearerToken::parse(text).unwrap())
}

#[test]
fn flags_count_before_the_environment_before_the_context_before_defaults() {
    let world = World::new("precedence");
    let is =
        |endpoints: &str, ca: &str, text: &str| (endpoints.to_owned(), ca.to_owned(), token(text));
    assert_eq!(world.found("", &[]), is("dev:1", "/dev:1/ca", "clu_dev_x"));
    let prod = ("CLUSTERCTL_CONTEXT", "prod");
    assert_eq!(world.found("", &[prod]), is("prod:1", "/prod:1/ca", "clu_prod_x"));
    assert_eq!(world.found("--context dev", &[prod]), is("dev:1", "/dev:1/ca", "clu_dev_x"));

    let own = ("CLUSTERCTL_TOKEN", "clu_own_x");
    assert_eq!(world.found("", &[own]), is("dev:1", "/dev:1/ca", "clu_own_x"));
    assert_eq!(world.found("--cacert /mine", &[]), is("dev:1", "/mine", "clu_dev_x"));
    // A context that a flag names counts before the environment, and flags count before it.
    assert_eq!(world.found("--context prod", &[own]), is("prod:1", "/prod:1/ca", "clu_prod_x"));
    let found = world.found("--context prod --endpoints a:1,b:1", &[]);
    assert_eq!(found, is("a:1,b:1", "/prod:1/ca", "clu_prod_x"));

    assert_eq!(
        world.found("--endpoints a:1", &[("CLUSTERCTL_ENDPOINTS", "b:1")]),
        is("a:1", "", "")
    );
    let empty = [("CLUSTERCTL_ENDPOINTS", ""), ("CLUSTERCTL_CONTEXT", "")];
    assert_eq!(world.found("", &empty).0, "dev:1");
    fs::remove_file(&world.path).unwrap();
    assert_eq!(world.found("", &[]), is("127.0.0.1:50051", "", ""));
}

#[test]
fn credentials_of_a_context_go_to_no_other_cluster() {
    let world = World::new("elsewhere");
    let elsewhere = [("CLUSTERCTL_ENDPOINTS", "b:1"), ("CLUSTERCTL_CONTEXT", "prod")];
    assert_eq!(world.found("", &elsewhere), ("b:1".to_owned(), String::new(), None));
    assert_eq!(world.found("--endpoints a:1", &[]), ("a:1".to_owned(), String::new(), None));
    // Then contexts are not even read.
    fs::write(&world.path, "nonsense").unwrap();
    assert!(world.find("--endpoints a:1", &[]).is_ok());
    assert!(world.find("", &[]).is_err());
}

#[test]
fn credentials_are_those_of_one_user() {
    let world = World::new("user");
    let found = world.find("--cert c --key k", &[]).unwrap();
    assert_eq!(found.token, None);
    let own = Some(("c".into(), "k".into()));
    assert_eq!(found.trust, Some(TrustFiles { trusted: "/dev:1/ca".into(), own, cluster: None }));
}

#[test]
fn what_is_missing_is_named() {
    let world = World::new("missing");
    let told = |flags: &str| world.find(flags, &[]).unwrap_err().to_string();
    assert_eq!(
        told("--context none"),
        "there is no context 'none': clusterctl context list shows them"
    );
    assert_eq!(told("--cert c"), "a certificate (--cert) is given, and its key (--key) is missing");
    assert_eq!(told("--key k"), "a key (--key) is given, and its certificate (--cert) is missing");
    let told = told("--endpoints a:1 --cert c --key k");
    assert!(told.ends_with("the one that is trusted (--cacert) is missing"), "{told}");
}
