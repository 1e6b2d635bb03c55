//! Keeps the layout's rules: who may use whom, what may be said where, how long a file may be.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/boundary.rs"]
mod boundary;
#[path = "tidy/crates.rs"]
mod crates;
#[path = "tidy/documentation.rs"]
mod documentation;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/leftovers.rs"]
mod leftovers;

/// All that the pure state machine may use.
const PURE_CRATE_USES: [&str; 2] = ["serde", "thiserror"];

/// Libraries that only some files know. A path ends in `/` or `.rs`.
const ONLY_IN: [(&str, &[&str]); 6] = [
    ("jiff::", &["master/cron/"]),
    ("openraft::", &["raft-store/"]),
    // Locks are parking_lot's: a panic ends the process, so none is left to ask what became of them.
    ("PoisonError", &[]),
    (
        "rocksdb::",
        &[
            "raft-store/src/backup/",
            "raft-store/src/error.rs",
            "raft-store/src/history.rs",
            "raft-store/src/inspection.rs",
            "raft-store/src/log_store.rs",
            "raft-store/src/log_store/",
            "raft-store/src/open.rs",
            "raft-store/src/restore.rs",
            "raft-store/src/restore/",
            "raft-store/src/rocks.rs",
            "raft-store/src/snapshot.rs",
            "raft-store/src/snapshot/",
            "raft-store/src/state_db.rs",
            "raft-store/src/state_db/",
            "raft-store/src/state_machine.rs",
            "raft-store/src/state_machine/",
            "raft-store/tests/",
        ],
    ),
    (
        "tonic::",
        &[
            "proto/",
            "raft-store/src/node/announcement.rs",
            "raft-store/src/node/founding.rs",
            "raft-store/src/node/founding/",
            "raft-store/src/node/members/addition.rs",
            "raft-store/src/node/tests.rs",
            "raft-store/src/network.rs",
            "raft-store/src/network/",
            "raft-store/src/propose/forward.rs",
            "raft-store/src/raft_service.rs",
            "raft-store/src/raft_service/",
            "raft-store/src/reads.rs",
            "raft-store/tests/",
            "master/src/peer/",
            "master/src/rpc.rs",
            "master/src/rpc/",
            "worker/src/session.rs",
            "worker/src/session/",
            "worker/tests/",
            "master/tests/",
            "tests/",
        ],
    ),
    ("axum::", &["master/src/api.rs", "master/src/api/", "tests/idp/"]),
];

/// Ways to the disk, and the files of `raft-store` that go them. What they do while a store is open
/// runs through `Calls`, which ends the process when a failure leaves this replica behind the others.
const DISK_CALLS: [(&str, &[&str]); 2] = [
    (
        "fs::",
        &[
            "disk_space.rs",
            "files.rs",
            "guard.rs",
            "identity.rs",
            "recovery.rs",
            "restore.rs",
            "restore/directory.rs",
            "restore/receive.rs",
            "snapshot/chunk.rs",
            "snapshot/install.rs",
            "snapshot/manifest.rs",
            "state_db.rs",
            "state_machine/checkpoint.rs",
            "state_machine/receive.rs",
            "torn.rs",
        ],
    ),
    // Checks the room, and drops a state that was replaced.
    ("spawn_blocking(", &["calls.rs", "disk_space.rs", "state_machine.rs"]),
];

/// Begins something that ends the process when it ends by itself: it has a name, which is said then.
const WATCHED_OVER: [&str; 2] = ["loops.spawn(", ".spawn(\""];

/// Files of a master that begin what may end by itself, and what that is.
const MAY_END: [(&str, &str); 18] = [
    ("master/src/api/server.rs", "a connection"),
    ("master/src/leader/dispatcher.rs", "a call"),
    ("master/src/leader/farewell.rs", "a call"),
    ("master/src/leader/reconnection.rs", "a call"),
    ("master/src/leader/name_claims.rs", "a call"),
    ("master/src/leader/sessions.rs", "a call"),
    ("master/src/operations/backup.rs", "a backup that is sent"),
    ("master/src/operations/logs.rs", "a stream of a log"),
    ("master/src/operations/orders.rs", "an order, which is waited for"),
    ("master/src/rpc/incoming.rs", "a handshake"),
    ("raft-store/src/leadership.rs", "a hand-over"),
    ("raft-store/src/log_store.rs", "the flusher, which ends with its last sender"),
    ("raft-store/src/log_store/flusher.rs", "a flush"),
    ("raft-store/src/loops.rs", "what is watched over"),
    (
        "raft-store/src/node/background.rs",
        "one piece of work each, which raises what keeps it from it",
    ),
    ("raft-store/src/node/members.rs", "a farewell"),
    ("raft-store/src/propose/forward.rs", "a stream of commands"),
    ("raft-store/src/state_db.rs", "a reader, which is waited for"),
];

/// Files that only compute: no waiting, no clock. What they need to know is given to them.
const PURE: [&str; 35] = [
    "master/src/access/failures.rs",
    "master/src/access/federation/mapping.rs",
    "master/src/access/fresh_reads.rs",
    "master/src/access/policy.rs",
    "master/src/events/event.rs",
    "master/src/events/filter.rs",
    "master/src/events/history.rs",
    "master/src/events/job_status.rs",
    "master/src/events/line.rs",
    "master/src/events/ring.rs",
    "master/src/events/schedule_status.rs",
    "master/src/events/task_news.rs",
    "master/src/leader/dispatcher/call_records.rs",
    "master/src/leader/mass_loss.rs",
    "master/src/leader/placement.rs",
    "master/src/leader/reconnection/registrations.rs",
    "master/src/leader/reconnection/schedule.rs",
    "master/src/leader/schedule_runner/steps.rs",
    "master/src/leader/state/leases.rs",
    "master/src/leader/state/usage.rs",
    "master/src/leader/ticker/aged.rs",
    "proto/oidc/src/claims.rs",
    "proto/oidc/src/token.rs",
    "master/src/trail/refusals.rs",
    "proto/src/relays.rs",
    "raft-store/src/clock/survey.rs",
    "raft-store/src/node/founding/verdict.rs",
    "raft-store/src/log_store/volume.rs",
    "raft-store/src/network/plausibility.rs",
    "raft-store/src/retention/policy.rs",
    "worker/src/backoff.rs",
    "worker/src/fitness.rs",
    "worker/src/leader_finder.rs",
    "worker/src/ledger.rs",
    "worker/src/processes/kin.rs",
];

/// Code that a pure file does not contain.
const IMPURE: [&str; 6] = ["async fn", "async move", ".await", "tokio::spawn", "::now()", "rand::"];

const LINES_MAX: usize = 400;

/// Longer files that are better whole, and why.
const EXCUSED: [(&str, &str); 0] = [];

/// Names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["mod", "util", "utils", "common", "helpers", "types_impl"];

struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    cluster_tests::process::checkout()
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                open.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().display().to_string();
                found.push(Source { path, text });
            }
        }
    }
    assert!(found.len() > 50, "most of the sources are elsewhere: only {} found", found.len());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// The crates that a manifest names in any of its tables of dependencies.
fn dependencies(manifest: &Path, tables: &[&str]) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let mut found = BTreeSet::new();
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_inside = tables.contains(&table);
        } else if is_inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap();
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn the_state_machine_uses_nothing_that_could_differ_between_masters() {
    let manifest = root().join("raft-store/state/Cargo.toml");
    let used = dependencies(&manifest, &["dependencies", "build-dependencies"]);
    let extra = used.into_iter().filter(|used| !PURE_CRATE_USES.contains(&used.as_str()));
    assert_none("cluster-state depends on", &extra.collect::<Vec<_>>());
    assert!(root().join("raft-store/state/clippy.toml").is_file(), "its own lints are gone");
}

#[test]
fn libraries_stay_where_they_belong() {
    let mut found = Vec::new();
    for source in sources() {
        for (library, places) in ONLY_IN {
            let is_allowed = places.iter().any(|place| source.path.starts_with(place));
            let is_used = || code_lines(&source.text).any(|(_, line)| line.contains(library));
            if !is_allowed && source.path != "tests/tests/tidy.rs" && is_used() {
                found.push(format!("{} uses {library}", source.path));
            }
        }
    }
    assert_none("libraries in the wrong place", &found);
}

#[test]
fn storage_is_called_where_failures_are_judged() {
    let mut found = Vec::new();
    for source in sources() {
        let Some(name) = source.path.strip_prefix("raft-store/src/") else { continue };
        if name.ends_with("tests.rs") || name.contains("tests/") {
            continue;
        }
        let is_test = |text: &str| text.starts_with("mod tests {");
        for (number, line) in code_lines(&source.text).take_while(|(_, line)| !is_test(line)) {
            for (way, places) in DISK_CALLS {
                if line.contains(way) && !places.contains(&name) {
                    found.push(format!("{}:{number} has {way}", source.path));
                }
            }
        }
    }
    assert_none("storage calls that nobody judges", &found);
}

#[test]
fn what_a_master_cannot_do_without_is_watched_over() {
    let mut found = Vec::new();
    let mut may_end = MAY_END.iter().map(|(path, _)| *path).collect::<BTreeSet<_>>();
    for source in sources() {
        let path = source.path.as_str();
        let is_of_a_master = path.starts_with("raft-store/src/") || path.starts_with("master/src/");
        if !is_of_a_master || path.ends_with("tests.rs") {
            continue;
        }
        let is_test = |text: &str| text.starts_with("mod tests {");
        for (number, line) in code_lines(&source.text).take_while(|(_, line)| !is_test(line)) {
            let is_watched_over = WATCHED_OVER.iter().any(|way| line.contains(way));
            if !line.contains(".spawn(") || is_watched_over {
                continue;
            }
            may_end.remove(path);
            if MAY_END.iter().all(|(excused, _)| *excused != path) {
                found.push(format!("{path}:{number}"));
            }
        }
    }
    assert_none("tasks whose end nobody sees", &found);
    assert!(may_end.is_empty(), "nothing is begun any more in {may_end:?}");
}

#[test]
fn pure_files_wait_for_nothing_and_read_no_clock() {
    let sources = sources();
    let mut found = Vec::new();
    for path in PURE {
        let Some(source) = sources.iter().find(|source| source.path == path) else {
            found.push(format!("{path} is gone: has it been renamed?"));
            continue;
        };
        let is_test = |text: &str| text.starts_with("#[cfg(test)]");
        for (number, line) in code_lines(&source.text).take_while(|(_, line)| !is_test(line)) {
            for impure in IMPURE.iter().filter(|impure| line.contains(**impure)) {
                found.push(format!("{path}:{number} has {impure}"));
            }
        }
    }
    assert_none("impure files", &found);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut found = Vec::new();
    for source in sources() {
        let path = &source.path;
        if !source.text.starts_with("//! ") {
            found.push(format!("{path} does not begin by saying what it is"));
        }
        let lines = source.text.lines().count();
        let is_excused = EXCUSED.iter().any(|(excused, _)| excused == path);
        if lines > LINES_MAX && !is_excused {
            found.push(format!("{path} has {lines} lines"));
        }
        if lines <= LINES_MAX && is_excused {
            found.push(format!("{path} needs no excuse any more"));
        }
        let name = Path::new(path).file_stem().unwrap().to_string_lossy().into_owned();
        if EMPTY_NAMES.contains(&name.as_str()) {
            found.push(format!("{path} has a name that says nothing"));
        }
    }
    assert_none("files out of shape", &found);
}

#[test]
fn every_test_of_processes_is_run() {
    let tests = root().join("tests/tests");
    let main = fs::read_to_string(tests.join("main.rs")).unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir(tests).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_program = name == "main" || name == "tidy";
        if !is_program && !main.contains(&format!("mod {name};")) {
            found.push(name);
        }
    }
    assert_none("files that no program includes", &found);
}

/// Lines that are not comments, numbered from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered =
        text.lines().enumerate().map(|(position, line)| (position + 1, line.trim_start()));
    numbered.filter(|(_, line)| !line.starts_with("//"))
}
