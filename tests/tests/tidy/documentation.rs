//! Rules of the words in which the code is documented.

use super::{assert_none, sources};

/// Words that open a question. Documentation opens with a verb, or with the noun that it is about.
const QUESTIONS: [&str; 9] =
    ["What", "How", "Where", "Whether", "Which", "Who", "Whom", "Whose", "Why"];

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
