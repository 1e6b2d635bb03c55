//! Keeps messages at the edges of a master: its operations take and return types of the domain.

use super::{assert_none, code_lines, sources};

/// Ways to name a message. What the leader shows in a follower's place has a name of its own,
/// `forwarded`.
const MESSAGES: [&str; 2] = ["v1::", "proto::v1"];

#[test]
fn operations_know_no_messages() {
    let mut found = Vec::new();
    let (mut files, is_test) = (0, |text: &str| text.starts_with("mod tests {"));
    for source in sources().iter().filter(|one| one.path.starts_with("master/src/operations")) {
        files += 1;
        for (number, line) in code_lines(&source.text).take_while(|(_, line)| !is_test(line)) {
            if MESSAGES.iter().any(|message| line.contains(message)) {
                found.push(format!("{}:{number}", source.path));
            }
        }
    }
    assert_none("messages in operations", &found);
    assert!(files > 10, "operations are elsewhere: only {files} files found");
}
