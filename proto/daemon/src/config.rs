//! A configuration in layers: flags before environment before file before defaults.
//!
//! One table says for each key its path, what it is for, and the field that it sets. Flags,
//! variables, `--help` and `config check` follow from the table.

mod key;
mod layers;
mod pairs;
mod value;

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

pub use key::{Given, Key};
pub use value::{Value, text};

use layers::{FileLayer, Layers};

/// A configuration that consists of keys.
pub trait Settings: Default + 'static {
    /// Returns all keys, in the order in which `--help` and `config check` list them.
    fn keys() -> &'static [Key<Self>];

    /// Notes that a flag, a variable or the file has given the key of that path.
    fn on_given(&mut self, _path: &'static str) {}

    /// Fills in what follows from other keys and refuses what does not fit together.
    fn complete(self) -> Result<Self, ConfigError>;
}

/// Order of a command line that has [`command`].
#[derive(Debug)]
pub enum Invocation<C> {
    /// Run with this configuration.
    Run(Box<C>),
    /// Print what would be in force, as this TOML.
    Check(String),
}

/// Reason why a command line leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// Not a valid command line, or a request for help or the version.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Reason why a configuration cannot be used. Each names the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not a TOML file: line {line}: {detail}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Complaint of the parser.
        detail: String,
    },
    /// The file has a key that is not in the table.
    #[error("unknown key '{key}' in {}{}", path.display(), hint.as_ref().map(|key| format!(": did you mean '{key}'?")).unwrap_or_default())]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The file.
        path: PathBuf,
        /// The known key that looks most like it.
        hint: Option<&'static str>,
    },
    /// A value cannot be read.
    #[error("{key} ({place}): {detail}")]
    Value {
        /// The key.
        key: &'static str,
        /// The flag, variable or file that gave it.
        place: String,
        /// Fault of the value.
        detail: String,
    },
    /// A key without a default was not given.
    #[error("{key} is missing: give --{flag}, {variable} or the key in the file")]
    Missing {
        /// The key.
        key: &'static str,
        /// Its flag.
        flag: String,
        /// Its environment variable.
        variable: String,
    },
    /// Values that are good by themselves do not go together.
    #[error("{key}: {detail}")]
    Conflict {
        /// The key to change.
        key: &'static str,
        /// Fault of the value, or of its company.
        detail: String,
    },
}

impl ConfigError {
    /// Refuses a value that was read, because of what it is or what it stands beside.
    pub fn conflict(key: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { key, detail: detail.into() }
    }
}

/// Adds to a command line: `--config FILE`, a flag for each key, and `config check FILE`.
#[must_use]
pub fn command<C: Settings>(command: Command) -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("TOML file with any of these keys [env: CLOUDAI_CONFIG]");
    let defaults = C::default();
    let keys = C::keys().iter().map(|key| flag(key, &defaults));
    let check = Command::new("check")
        .about("Prints what would be in force")
        .arg(Arg::new("FILE").required(true).help("The configuration file"));
    command.args_conflicts_with_subcommands(true).arg(file).args(keys).subcommand(
        Command::new("config")
            .about("Works on configuration files")
            .subcommand_required(true)
            .subcommand(check),
    )
}

fn flag<C: 'static>(key: &'static Key<C>, defaults: &C) -> Arg {
    let arg = Arg::new(key.path)
        .long(key.flag.as_str())
        .value_name(key.value_name)
        .help(key.help_with_default(defaults));
    match key.value_name {
        "BOOL" => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        "on|off" => arg.num_args(0..=1).default_missing_value("on"),
        _ if key.is_list() => arg.action(ArgAction::Append),
        _ => arg,
    }
}

/// Reads the configuration that a command line asks for, with the environment through `variable`.
pub fn invocation<C: Settings>(
    matches: &ArgMatches,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Invocation<C>, ConfigError> {
    let check = matches.subcommand_matches("config").and_then(|m| m.subcommand_matches("check"));
    if let Some(check) = check {
        let file = check.get_one::<String>("FILE").map(PathBuf::from);
        let config = load::<C>(None, file.as_deref(), &variable)?;
        return Ok(Invocation::Check(show(&config)));
    }

    let file = matches.get_one::<String>("config").cloned().or_else(|| variable("CLOUDAI_CONFIG"));
    let config = load::<C>(Some(matches), file.as_deref().map(Path::new), &variable)?;
    Ok(Invocation::Run(Box::new(config)))
}

fn load<C: Settings>(
    flags: Option<&ArgMatches>,
    file: Option<&Path>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<C, ConfigError> {
    let keys = C::keys();
    let file = file.map(|path| FileLayer::read(path, keys)).transpose()?;
    let layers = Layers { flags, variable, file: file.as_ref() };

    let mut config = C::default();
    for key in keys {
        let Some(found) = layers.find_unless_outranked(key, keys) else { continue };
        let (place, given) = (found.place, found.given);
        (key.set)(&mut config, given).map_err(|detail| ConfigError::Value {
            key: key.path,
            place,
            detail,
        })?;
        config.on_given(key.path);
    }

    if let Some(key) = keys.iter().find(|key| key.is_required && !layers.give(key)) {
        let (flag, variable) = (key.flag.clone(), key.variable.clone());
        return Err(ConfigError::Missing { key: key.path, flag, variable });
    }
    config.complete()
}

fn show<C: Settings>(config: &C) -> String {
    let lines = C::keys().iter().filter_map(|key| {
        let value = (key.show)(config)?;
        Some(format!("{} = {value}\n", key.path))
    });
    lines.collect()
}

#[cfg(test)]
mod tests;
