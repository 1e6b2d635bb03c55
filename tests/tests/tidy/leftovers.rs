//! Keeps what was to be done later out of the code.

use std::fs;

use super::{assert_none, root, sources};

/// Code that never stays in a file. Split, so that this one does not contain it.
const LEFTOVERS: [&str; 4] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("FIX", "ME"),
    concat!("X", "XX:"),
];

#[test]
fn nothing_is_left_undone() {
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for leftover in LEFTOVERS.iter().filter(|leftover| line.contains(**leftover)) {
                found.push(format!("{}:{} has {leftover}", source.path, number + 1));
            }
        }
    }
    assert_none("leftovers", &found);
}

/// A test that needs more than a checkout is left out of `make test`, and a target of its own runs it.
#[test]
fn a_test_left_out_names_the_target_that_runs_it() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let runs_what_is_left_out = |target: &str| {
        let mut lines =
            makefile.lines().skip_while(|line| !line.starts_with(&format!("{target}:")));
        lines.next().is_some()
            && lines
                .take_while(|line| line.starts_with('\t'))
                .any(|line| line.contains("--ignored"))
    };
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            if let Some((_, reason)) = line.split_once(concat!("#[", "ignore"))
                && !target_in(reason).is_some_and(runs_what_is_left_out)
            {
                found.push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    assert_none("tests that no target runs", &found);
}

/// `TARGET` of a reason that ends with `make TARGET`.
fn target_in(reason: &str) -> Option<&str> {
    let (_, target) = reason.trim_end().strip_suffix("\"]")?.rsplit_once("make ")?;
    (!target.contains(' ')).then_some(target)
}
