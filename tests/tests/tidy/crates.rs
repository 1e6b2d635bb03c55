//! Keeps packages in layers, and under the same lints.

use std::fs;

use super::{assert_none, dependencies, root};

/// Dependencies that each package of the workspace may have. Arrows never run back.
const MAY_USE: [(&str, &str, &[&str]); 16] = [
    ("cluster-fuzz", "tests/fuzz", &[]),
    ("eventually", "tests/eventually", &[]),
    ("fake-idp", "tests/idp", &[]),
    ("cluster-state", "raft-store/state", &[]),
    ("cron", "master/cron", &[]),
    ("pages", "master/pages", &[]),
    ("oidc", "proto/oidc", &["cluster-fuzz", "eventually", "fake-idp"]),
    ("credentials", "proto/credentials", &["cluster-fuzz"]),
    ("proto", "proto", &["cluster-state", "credentials", "cluster-fuzz", "eventually"]),
    ("daemon", "proto/daemon", &["cluster-state"]),
    ("raft-store", "raft-store", &["cluster-state", "proto", "cluster-fuzz", "eventually"]),
    (
        "worker",
        "worker",
        &["cluster-state", "proto", "credentials", "daemon", "cluster-fuzz", "eventually"],
    ),
    ("clusterctl", "master/clusterctl", &["cluster-state", "proto", "credentials", "daemon"]),
    (
        "master",
        "master",
        &[
            "cluster-state",
            "proto",
            "credentials",
            "cron",
            "daemon",
            "oidc",
            "pages",
            "raft-store",
            "cluster-fuzz",
            "eventually",
            "fake-idp",
        ],
    ),
    (
        "cluster-tests",
        "tests",
        &["cluster-state", "proto", "cluster-fuzz", "eventually", "fake-idp"],
    ),
    ("cluster-bench", "tests/bench", &["proto", "credentials", "daemon", "clusterctl"]),
];

#[test]
fn crates_depend_only_on_what_lies_below_them() {
    let ours = MAY_USE.map(|(name, ..)| name);
    let mut found = Vec::new();
    for (name, dir, may_use) in MAY_USE {
        let manifest = root().join(dir).join("Cargo.toml");
        let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
        for used in dependencies(&manifest, &tables) {
            if ours.contains(&used.as_str()) && !may_use.contains(&used.as_str()) {
                found.push(format!("{name} depends on {used}"));
            }
        }
    }
    assert_none("arrows that run back", &found);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let mut found = Vec::new();
    for (name, dir, _) in MAY_USE {
        let text = fs::read_to_string(root().join(dir).join("Cargo.toml")).unwrap();
        if !text.contains("[lints]\nworkspace = true") {
            found.push(name.to_owned());
        }
    }
    assert_none("crates with lints of their own", &found);
}
