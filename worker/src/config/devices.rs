//! Devices by kind, as an operator lists them.

use std::collections::{BTreeMap, BTreeSet};

use daemon::config::Value;

use crate::devices::variable_of;

/// Name of the GPUs among the kinds.
const GPU: &str = "gpu";
/// Resources that are no devices.
const RESERVED: [&str; 5] = ["cpu", "memory_mb", "storage_mb", "attempts", "slots"];
/// Longest name of a kind, as of any resource that a task names.
const NAME_BYTES_MAX: usize = 64;
/// Most kinds, as a task can name them.
const KINDS_MAX: usize = 32;
/// Most devices of a kind: their names go into one variable.
const DEVICES_MAX: usize = 1_024;
const ID_BYTES_MAX: usize = 120;

/// Names of devices by the name of their kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceLists(BTreeMap<String, Vec<String>>);

impl DeviceLists {
    /// Returns the GPUs that the worker may use, if they are named.
    #[must_use]
    pub fn gpus(&self) -> Option<&[String]> {
        self.0.get(GPU).map(Vec::as_slice)
    }

    /// Iterates over the kinds, with their devices.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(kind, ids)| (kind.as_str(), ids.as_slice()))
    }

    /// Checks names and numbers.
    ///
    /// # Errors
    ///
    /// Names what cannot be used.
    pub fn check(&self) -> Result<(), String> {
        if self.0.len() > KINDS_MAX {
            return Err(format!("{} kinds, at most {KINDS_MAX} are allowed", self.0.len()));
        }
        let mut variables = BTreeSet::new();
        for (kind, ids) in &self.0 {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if kind.is_empty() || kind.len() > NAME_BYTES_MAX || !kind.chars().all(is_plain) {
                return Err(format!(
                    "'{kind}' is no name of 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' and '.'"
                ));
            }
            if RESERVED.contains(&kind.as_str()) {
                return Err(format!("'{kind}' is a resource of every worker"));
            }
            let variable = variable_of(kind);
            if !variables.insert(variable.clone()) {
                return Err(format!("'{kind}' and another kind have the variable {variable}"));
            }
            check_ids(kind, ids)?;
        }
        Ok(())
    }
}

fn check_ids(kind: &str, ids: &[String]) -> Result<(), String> {
    if ids.len() > DEVICES_MAX {
        return Err(format!("{kind}: {} devices, at most {DEVICES_MAX} are allowed", ids.len()));
    }
    let mut known = BTreeSet::new();
    for id in ids {
        let is_bad = |c: char| c == ',' || c.is_whitespace() || c.is_control();
        if id.is_empty() || id.len() > ID_BYTES_MAX || id.contains(is_bad) {
            return Err(format!(
                "{kind}: '{id}' is no name of 1 to {ID_BYTES_MAX} bytes without comma and space"
            ));
        }
        if !known.insert(id) {
            return Err(format!("{kind}: {id} is listed twice"));
        }
    }
    Ok(())
}

/// `fpga=/dev/fpga0,fpga=/dev/fpga1`, or a table for each kind with the list `ids`.
impl Value for DeviceLists {
    fn parse(text: &str) -> Result<Self, String> {
        let mut lists = BTreeMap::<String, Vec<String>>::new();
        for item in Vec::<String>::parse(text)? {
            let Some((kind, id)) = item.split_once('=') else {
                return Err(format!("'{item}' is not KIND=NAME"));
            };
            lists.entry(kind.trim().to_owned()).or_default().push(id.trim().to_owned());
        }
        Ok(Self(lists))
    }

    fn from_toml(value: toml::Value) -> Result<Self, String> {
        let toml::Value::Table(kinds) = value else {
            return match value.as_str() {
                Some(text) => Self::parse(text),
                None => Err(format!("is of type {}, not a table", value.type_str())),
            };
        };
        let lists = kinds.into_iter().map(|(kind, value)| {
            let ids = ids_of(value).map_err(|fault| format!("{kind}: {fault}"))?;
            Ok((kind, ids))
        });
        lists.collect::<Result<_, String>>().map(Self)
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let kinds = self.0.iter().map(|(kind, ids)| {
            let table = toml::Table::from_iter([("ids".to_owned(), ids.clone().into())]);
            (kind.clone(), toml::Value::Table(table))
        });
        Some(toml::Value::Table(kinds.collect()))
    }
}

fn ids_of(value: toml::Value) -> Result<Vec<String>, String> {
    let toml::Value::Table(mut table) = value else {
        return Err("is not a table with the list ids".to_owned());
    };
    let ids = table.remove("ids").ok_or_else(|| "has no list ids".to_owned())?;
    if let Some(unknown) = table.keys().next() {
        return Err(format!("unknown key '{unknown}', only ids is known"));
    }
    let toml::Value::Array(ids) = ids else { return Err("ids is not a list".to_owned()) };
    ids.into_iter()
        .map(|id| match id {
            toml::Value::String(id) => Ok(id),
            toml::Value::Integer(number) => Ok(number.to_string()),
            other @ (toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_)) => Err(format!("ids holds {}, not texts", other.type_str())),
        })
        .collect()
}
