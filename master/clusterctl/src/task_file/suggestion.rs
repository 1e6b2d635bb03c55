//! Says what serde says, for people: which key may be meant, and what to write instead.

/// Returns what is wrong with a part of a task.
pub(super) fn explained(detail: &str) -> String {
    if let Some((key, known)) = unknown_field(detail) {
        return match nearest(key, &known) {
            Some(meant) => format!("unknown key; did you mean {meant}?"),
            None => format!("unknown key; there are {}", known.join(", ")),
        };
    }
    let is_quotable = ["integer", "boolean", "floating point"]
        .iter()
        .any(|kind| detail.starts_with(&format!("invalid type: {kind}")));
    if is_quotable && detail.ends_with("expected a string") {
        return format!("{detail}: write it in quotes");
    }
    detail.to_owned()
}

/// Returns the key that is not known, and those that are, of such an error.
fn unknown_field(detail: &str) -> Option<(&str, Vec<&str>)> {
    let rest = detail.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2);
    Some((key, known.collect()))
}

/// Returns the known key that differs least, if it differs little.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = key.replace('-', "_").to_lowercase();
    let distance = |known: &&str| strsim::damerau_levenshtein(&written, known);
    let meant = known.iter().copied().min_by_key(distance)?;
    let few = written.chars().count().div_ceil(3);
    let is_part = || meant.len() > 2 && written.len() > 2 && meant.contains(&written);
    (distance(&meant) <= few || is_part()).then_some(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_nearly_right_is_suggested() {
        let told = |key: &str| {
            explained(&format!(
                "unknown field `{key}`, expected one of `name`, `command`, `env`, `worker_id`"
            ))
        };
        assert_eq!(told("comand"), "unknown key; did you mean command?");
        assert_eq!(told("worker-id"), "unknown key; did you mean worker_id?");
        assert_eq!(told("worker"), "unknown key; did you mean worker_id?");
        assert_eq!(told("image"), "unknown key; there are name, command, env, worker_id");
    }

    #[test]
    fn a_number_that_should_be_a_text_is_to_be_quoted() {
        let number = "invalid type: integer `8080`, expected a string";
        assert_eq!(explained(number), format!("{number}: write it in quotes"));
        let list = "invalid type: string \"a\", expected a sequence";
        assert_eq!(explained(list), list);
    }
}
