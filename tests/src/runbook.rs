//! Commands of a page of the documentation, to be run from top to bottom as a person would.

/// A block of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Masters on whose machines they are run; none for anywhere.
    pub on: Vec<u64>,
    /// Exit code of the last command.
    pub exits_with: i32,
    /// One a line.
    pub commands: Vec<String>,
}

/// Returns the blocks of shell commands of a page. The first line of each is a comment that says
/// where they are run, as `# on 1, 3` or `# anywhere; exits with 6`.
#[must_use]
pub fn steps(page: &str) -> Vec<Step> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(step).collect()
}

fn step(block: &str) -> Step {
    let (place, commands) = block.split_once('\n').unwrap();
    let (place, exit) = place.split_once("; exits with ").unwrap_or((place, "0"));
    let place = place.strip_prefix("# ").unwrap();
    let on = place.strip_prefix("on ").unwrap_or_default().split(", ");
    assert!(place == "anywhere" || place.starts_with("on "), "where is that? {place}");
    Step {
        on: on.filter(|name| !name.is_empty()).map(|name| name.parse().unwrap()).collect(),
        exits_with: exit.parse().unwrap(),
        commands: commands.lines().map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_says_where_it_is_run() {
        let page = "Text.\n```sh\n# on 1, 3\na b\nc\n```\n```\nno command\n```\n\
                    ```sh\n# anywhere; exits with 6\nd\n```\n";
        let step = |on: &[u64], exits_with, commands: &[&str]| Step {
            on: on.to_vec(),
            exits_with,
            commands: commands.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(steps(page), [step(&[1, 3], 0, &["a b", "c"]), step(&[], 6, &["d"])]);
    }
}
