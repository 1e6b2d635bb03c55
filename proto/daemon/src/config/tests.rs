//! Precedence, unknown keys, and what `--help` and `config check` show.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::key;
use crate::logging::LogFilter;

#[derive(Debug, Clone, PartialEq)]
struct Config {
    name: String,
    names: Vec<String>,
    labels: BTreeMap<String, String>,
    filter: LogFilter,
    share: Option<f64>,
    secret: Option<String>,
    secret_file: Option<String>,
    pause: Pause,
}

#[derive(Debug, Clone, PartialEq)]
struct Pause {
    length: Duration,
    is_long: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "unnamed".to_owned(),
            names: Vec::new(),
            labels: BTreeMap::new(),
            filter: LogFilter::default(),
            share: None,
            secret: None,
            secret_file: None,
            pause: Pause { length: Duration::from_secs(90), is_long: false },
        }
    }
}

static KEYS: LazyLock<Vec<Key<Config>>> = LazyLock::new(|| {
    vec![
        key!(name, "NAME", "A name").required(),
        key!(names, "NAME,…", "Other names"),
        key!(labels, "KEY=VALUE,…", "Labels").with_flag("label"),
        key!(filter, "FILTER", "Lines to log").or_variable("RUST_LOG"),
        key!(share, "N", "A share [default: all]"),
        key!(secret, "SECRET", "A secret").alternative_to("secret_file"),
        key!(secret_file, "FILE", "Its file").alternative_to("secret"),
        key!(pause.length, "DURATION", "Length of a pause"),
        key!(pause.is_long, "BOOL", "Whether it is long"),
    ]
});

impl Settings for Config {
    fn keys() -> &'static [Key<Self>] {
        &KEYS
    }

    fn complete(self) -> Result<Self, ConfigError> {
        match self.pause.length {
            Duration::ZERO => Err(ConfigError::conflict("pause.length", "must be above 0")),
            _ => Ok(self),
        }
    }
}

fn invoke(words: &[&str], variables: &[(&str, &str)]) -> Result<Invocation<Config>, String> {
    let words = std::iter::once(&"daemon").chain(words);
    let matches = command::<Config>(Command::new("daemon")).try_get_matches_from(words).unwrap();
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    invocation(&matches, variable).map_err(|error| error.to_string())
}

fn run(words: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    match invoke(words, variables)? {
        Invocation::Run(config) => Ok(*config),
        Invocation::Check(text) => Err(text),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn with_file(text: &str, words: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let file = file(text);
    let path = file.path().to_str().unwrap();
    let config = run(&[&["--name=n", "--config", path], words].concat(), variables);
    config.map_err(|error| error.replace(path, "FILE"))
}

#[test]
fn the_highest_layer_that_gives_a_key_wins() {
    let text = "filter = \"warn\"\nnames = [\"file\"]\nshare = 0.5\n[pause]\nlength = \"1s\"";
    let variables = [("CLOUDAI_NAMES", "variable"), ("CLOUDAI_SHARE", "2"), ("RUST_LOG", "debug")];
    let config = with_file(text, &["--names", "a,b", "--names=c"], &variables).unwrap();
    assert_eq!(config.names, ["a", "b", "c"]);
    assert_eq!(config.share, Some(2.0));
    assert_eq!(config.pause.length, Duration::from_secs(1));
    assert_eq!(config.filter.as_str(), "warn");
    assert_eq!(run(&["--name=n"], &variables).unwrap().filter.as_str(), "debug");
}

#[test]
fn of_two_ways_to_say_the_same_the_higher_layer_counts() {
    let secrets = |words: &[&str], variables: &[(&str, &str)]| {
        let config = with_file("secret = \"file\"", words, variables).unwrap();
        (config.secret.unwrap_or_default(), config.secret_file.unwrap_or_default())
    };
    let both = |secret: &str, file: &str| (secret.to_owned(), file.to_owned());
    assert_eq!(secrets(&[], &[]), both("file", ""));
    assert_eq!(secrets(&["--secret-file=f"], &[]), both("", "f"));
    assert_eq!(secrets(&["--secret=flag"], &[("CLOUDAI_SECRET_FILE", "f")]), both("flag", ""));
    assert_eq!(secrets(&["--secret=flag", "--secret-file=f"], &[]), both("flag", "f"));
}

#[test]
fn a_key_that_nobody_knows_is_refused_with_the_one_that_was_meant() {
    let told = |text| with_file(text, &[], &[]).unwrap_err();
    assert_eq!(told("nam = 1"), "unknown key 'nam' in FILE: did you mean 'name'?");
    assert_eq!(
        told("length = \"1m\""),
        "unknown key 'length' in FILE: did you mean 'pause.length'?"
    );
    assert_eq!(told("[wombat]\nx = 1"), "unknown key 'wombat' in FILE");
}

#[test]
fn a_required_key_must_be_given_and_not_be_empty() {
    let missing = "name is missing: give --name, CLOUDAI_NAME or the key in the file";
    for (words, variables) in
        [(&[][..], &[][..]), (&["--name="], &[]), (&[], &[("CLOUDAI_NAME", "")])]
    {
        assert_eq!(run(words, variables).unwrap_err(), missing);
    }
}

#[test]
fn a_value_that_cannot_be_used_is_told_with_its_place() {
    let told = with_file("[labels]\nzone = 1", &[], &[]).unwrap_err();
    assert_eq!(told, "labels (FILE): zone is of type integer, not a text");
    let told = run(&["--name=n", "--label=zone"], &[]).unwrap_err();
    assert_eq!(told, "labels (--label): 'zone' is not KEY=VALUE");
    let told = run(&["--name=n"], &[("RUST_LOG", "a=b=c")]).unwrap_err();
    assert_eq!(told, "filter (RUST_LOG): 'a=b=c' is neither a level nor a list of directives");
    let told = run(&["--name=n", "--pause-length=0s"], &[]).unwrap_err();
    assert_eq!(told, "pause.length: must be above 0");
}

#[test]
fn help_names_the_variable_and_the_default_of_each_key() {
    let help = command::<Config>(Command::new("daemon")).render_help().to_string();
    for text in [
        "A name [env: CLOUDAI_NAME]\n",
        "A share [default: all] [env: CLOUDAI_SHARE]\n",
        "--label <KEY=VALUE,…>",
        "Labels [env: CLOUDAI_LABELS]\n",
        "[env: CLOUDAI_FILTER] [default: info]\n",
        "[env: CLOUDAI_PAUSE_LENGTH] [default: 1m30s]\n",
        "[env: CLOUDAI_PAUSE_IS_LONG] [default: false]\n",
    ] {
        assert!(help.contains(text), "{text} is not in\n{help}");
    }
}

#[test]
fn what_is_shown_says_the_same_when_it_is_read() {
    let original = file(
        "name = \"n\"\nshare = 2.0\npause.is_long = true\n[labels]\nzone = \"a,b\"\n\"x y\" = \"=\"",
    );
    let path = original.path().to_str().unwrap();
    let shown = run(&["config", "check", path], &[]).unwrap_err();
    for line in ["name = \"n\"", "share = 2.0", "pause.length = \"1m30s\"", "names = []"] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains("secret"), "{shown}");

    let copy = file(&shown);
    let read = |path| run(&["--config", path], &[]).unwrap();
    assert_eq!(read(copy.path().to_str().unwrap()), read(path));
    assert_eq!(read(path).labels["zone"], "a,b");
}
