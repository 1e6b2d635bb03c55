//! Keeps what was to be done later out of the code.

use super::{assert_none, sources};

/// Code that never stays in a file. Split, so that this one does not contain it.
const LEFTOVERS: [&str; 5] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("FIX", "ME"),
    concat!("#[", "ignore"),
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
