//! Gathers values from flags, environment and file.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};

use super::keys::{self, KEYS, Key};
use super::{Config, ConfigError, validate};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run a master.
    Run(Box<Config>),
    /// Print what would be in force, as this TOML.
    Check(String),
}

/// Why the command line leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// Not a valid command line, or a request for help or the version.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Reads the command line, the environment through `variable`, and the file they name.
pub fn parse(
    args: impl IntoIterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Invocation, InvocationError> {
    let matches = command().try_get_matches_from(args)?;
    let check = matches.subcommand_matches("config").and_then(|m| m.subcommand_matches("check"));
    if let Some(check) = check {
        let file = check.get_one::<String>("FILE").map(PathBuf::from);
        let config = load(None, file.as_deref(), &variable)?;
        return Ok(Invocation::Check(show(&config)));
    }

    let file = matches.get_one::<String>("config").cloned().or_else(|| variable("CLOUDAI_CONFIG"));
    let config = load(Some(&matches), file.as_deref().map(Path::new), &variable)?;
    Ok(Invocation::Run(Box::new(config)))
}

fn command() -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("TOML file with any of these keys [env: CLOUDAI_CONFIG]");
    let keys = KEYS.iter().map(|key| {
        let arg = Arg::new(key.path)
            .long(key.flag.as_str())
            .value_name(key.value_name)
            .help(help_of(key));
        match key.value_name {
            "BOOL" => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            "on|off" => arg.num_args(0..=1).default_missing_value("on"),
            _ => arg,
        }
    });
    let check = Command::new("check")
        .about("Prints what would be in force")
        .arg(Arg::new("FILE").required(true).help("The configuration file"));
    Command::new("master")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A replica of the CloudAI master cluster")
        .args_conflicts_with_subcommands(true)
        .arg(file)
        .args(keys)
        .subcommand(
            Command::new("config")
                .about("Works on configuration files")
                .subcommand_required(true)
                .subcommand(check),
        )
}

fn help_of(key: &Key) -> String {
    let default = (key.show)(&Config::default());
    match default.as_str() {
        "\"\"" | "0" => format!("{} [env: {}]", key.help, key.variable),
        value => {
            let value = value.trim_matches('"');
            format!("{} [env: {}] [default: {value}]", key.help, key.variable)
        }
    }
}

fn load(
    flags: Option<&ArgMatches>,
    file: Option<&Path>,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let from_file = file.map(read_file).transpose()?.unwrap_or_default();

    let mut config = Config::default();
    for key in KEYS.iter() {
        let from_flag = flags
            .and_then(|flags| flags.get_one::<String>(key.path))
            .map(|text| (text.clone(), format!("--{}", key.flag)));
        let from_variable = || variable(&key.variable).map(|text| (text, key.variable.clone()));
        let from_file = || {
            let (_, text) = from_file.iter().find(|(path, _)| *path == key.path)?;
            let place = file.unwrap_or(Path::new("")).display().to_string();
            Some((text.clone(), place))
        };
        let Some((text, place)) = from_flag.or_else(from_variable).or_else(from_file) else {
            continue;
        };
        (key.set)(&mut config, &text).map_err(|detail| ConfigError::Value {
            key: key.path,
            place,
            detail,
        })?;
    }
    validate::complete(config)
}

fn read_file(path: &Path) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let table = toml::from_str::<toml::Table>(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        ConfigError::Syntax {
            path: path.to_owned(),
            line: line.saturating_add(1),
            detail: error.message().to_owned(),
        }
    })?;

    let mut values = Vec::new();
    flatten("", table, path, &mut values)?;
    Ok(values)
}

fn flatten(
    prefix: &str,
    table: toml::Table,
    file: &Path,
    into: &mut Vec<(&'static str, String)>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let path = format!("{prefix}{name}");
        if let Some(key) = keys::find(&path) {
            into.push((key.path, text_of(key, value, file)?));
            continue;
        }
        let is_section = KEYS.iter().any(|key| key.path.starts_with(&format!("{path}.")));
        if let (true, toml::Value::Table(section)) = (is_section, value) {
            flatten(&format!("{path}."), section, file, into)?;
            continue;
        }
        let hint = keys::closest(&path);
        return Err(ConfigError::UnknownKey { key: path, path: file.to_owned(), hint });
    }
    Ok(())
}

/// Values may be written in TOML's own types or as the text that the flag would take.
fn text_of(key: &'static Key, value: toml::Value, file: &Path) -> Result<String, ConfigError> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(choice) => Ok(choice.to_string()),
        toml::Value::Array(items) => {
            let items = items.into_iter().map(|item| text_of(key, item, file));
            Ok(items.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        // Of a key that takes pairs, each is one line of a table of its own.
        toml::Value::Table(pairs) if key.value_name.contains('=') => {
            let pairs = pairs
                .into_iter()
                .map(|(name, value)| Ok(format!("{name}={}", text_of(key, value, file)?)));
            Ok(pairs.collect::<Result<Vec<_>, ConfigError>>()?.join(","))
        }
        other @ (toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_)) => {
            Err(ConfigError::Value {
                key: key.path,
                place: file.display().to_string(),
                detail: format!("a {} cannot be a value here", other.type_str()),
            })
        }
    }
}

fn show(config: &Config) -> String {
    KEYS.iter().map(|key| format!("{} = {}\n", key.path, (key.show)(config))).collect()
}
