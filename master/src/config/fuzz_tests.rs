//! Whatever stands in a file, a flag or a variable: it is read as what it is shown as, or refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cluster_fuzz::{Fuzz, mutated, mutated_text};
use cluster_state::{Backoff, MasterId, Strategy as Placement};
use daemon::config::Value;
use daemon::logging::{LogFilter, LogFormat};
use proptest::prelude::*;

use super::{Bytes, ClaimRoles, Config, Invocation, Names, TimeoutRange, parse};

/// Reads from a file what a value is shown as, which must be that value.
fn check<T: Value + PartialEq + Debug>(text: &str) {
    let Ok(value) = T::parse(text) else { return };
    let file = format!("value = {}", value.to_toml().unwrap());
    let mut table = toml::from_str::<toml::Table>(&file).unwrap();
    let shown = table.remove("value").unwrap();
    assert_eq!(T::from_toml(shown).unwrap(), value, "shown as {file}");
}

#[test]
fn a_value_is_read_as_it_is_shown() {
    let valid = prop_oneof![
        "[0-9]{1,20}",
        "[0-9]{1,4}(ms|s|m|h|d)",
        "[0-9]{1,3}ms\\.\\.[0-9]{1,2}s",
        "[0-9]{1,9}(KiB|MiB|GiB)?",
        "1=10\\.0\\.0\\.1:50051,2=10\\.0\\.0\\.2:50051",
        "high=5s,low=2m",
        "admins=admin,devs=submitter",
        "cloudai\\.example,Other\\.example",
        "true|false|on|off|spread|binpack|text|json",
    ];
    Fuzz::of("values of the configuration").run(mutated_text(valid), |text| {
        check::<String>(&text);
        check::<Names>(&text);
        check::<bool>(&text);
        check::<u64>(&text);
        check::<usize>(&text);
        check::<MasterId>(&text);
        check::<Duration>(&text);
        check::<TimeoutRange>(&text);
        check::<Bytes>(&text);
        check::<ClaimRoles>(&text);
        check::<Placement>(&text);
        check::<Backoff>(&text);
        check::<LogFormat>(&text);
        check::<LogFilter>(&text);
        check::<Vec<String>>(&text);
        check::<BTreeMap<String, String>>(&text);
        check::<BTreeMap<MasterId, String>>(&text);
        check::<BTreeMap<String, Duration>>(&text);
    });
}

/// A configuration with all kinds of values.
const CONFIG: &str = r#"
node_id = 1
cluster_name = "prod"
data_dir = "/var/lib/cloudai"
initial_cluster = ["1=127.0.0.1:50051", "2=127.0.0.1:50053"]
http_names = "cloudai.example"
[raft]
election_timeout = "250ms..400ms"
snapshot_every = 10000
[reconnect]
enabled = true
interval = "30s"
[limits]
request_bytes = "8MiB"
[scheduler]
strategy = "binpack"
[access.oidc]
issuer = "https://id.example.com"
audience = "cloudai"
scope = "team=dept"
roles = { a = "admin", "b,c=d" = "viewer" }
[log]
format = "json"
"#;

fn read(path: &Path) -> Option<Config> {
    let args = ["master", "--config", path.to_str().unwrap()].map(str::to_owned);
    match parse(args, |_| None) {
        // The shown file gives every key.
        Ok(Invocation::Run(config)) => Some(Config { given: BTreeSet::new(), ..*config }),
        Ok(Invocation::Check(_) | Invocation::Offline(_)) | Err(_) => None,
    }
}

fn shown(path: &Path) -> String {
    let args = ["master", "config", "check", path.to_str().unwrap()].map(str::to_owned);
    match parse(args, |_| None).unwrap() {
        Invocation::Check(text) => text,
        Invocation::Run(_) | Invocation::Offline(_) => panic!("it was to be shown"),
    }
}

#[test]
fn a_configuration_is_read_as_it_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (file, shown_file) = (dir.path().join("master.toml"), dir.path().join("shown.toml"));
    let config = Just(CONFIG.as_bytes().to_vec());
    Fuzz::of("configuration of a master").at_most(128).run(mutated(config), |bytes| {
        fs::write(&file, &bytes).unwrap();
        let Some(config) = read(&file) else { return };
        fs::write(&shown_file, shown(&file)).unwrap();
        assert_eq!(read(&shown_file), Some(config));
    });
}
