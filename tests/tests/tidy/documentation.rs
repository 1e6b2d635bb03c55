//! Rules of the words in which the code is documented.

use std::fs;

use super::{assert_none, root, sources};

/// Words that open a question. Documentation opens with a verb, or with the noun that it is about.
const QUESTIONS: [&str; 9] =
    ["What", "How", "Where", "Whether", "Which", "Who", "Whom", "Whose", "Why"];

/// First words of `.proto` lines that declare nothing of a message or a service.
const NO_DECLARATIONS: [&str; 6] = ["syntax", "package", "import", "option", "reserved", "}"];

/// Clients in other languages have nothing but the `.proto` files.
#[test]
fn every_message_field_and_call_has_a_comment() {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("proto/cloudai/v1")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut is_commented = false;
        for (number, line) in text.lines().map(str::trim_start).enumerate() {
            let word = line.split_whitespace().next().unwrap_or("}");
            let is_comment = line.starts_with("//");
            if !is_comment && !is_commented && !NO_DECLARATIONS.contains(&word) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
            is_commented = is_comment;
        }
    }
    assert_none("declarations without a comment", &found);
}

#[test]
fn documentation_opens_with_a_verb_or_a_noun() {
    let is_documentation = |line: &str| line.starts_with("///") || line.starts_with("//!");
    let mut found = Vec::new();
    for source in sources() {
        let mut is_inside = false;
        for (number, line) in source.text.lines().map(str::trim_start).enumerate() {
            let word = line.split_whitespace().nth(1).unwrap_or_default();
            if is_documentation(line) && !is_inside && QUESTIONS.contains(&word) {
                found.push(format!("{}:{} opens with {word}", source.path, number + 1));
            }
            is_inside = is_documentation(line);
        }
    }
    assert_none("documentation that opens like a question", &found);
}
