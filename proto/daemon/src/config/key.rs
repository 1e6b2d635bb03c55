//! One key of a configuration, and the search for the key that somebody meant.

use super::Value;

/// One configuration key of a configuration `C`.
#[derive(Debug)]
pub struct Key<C> {
    /// Path as in the file, with dots.
    pub(super) path: &'static str,
    /// Flag without the dashes in front.
    pub(super) flag: String,
    /// Environment variable.
    pub(super) variable: String,
    /// Variable that is read when nothing else gives the key.
    pub(super) fallback_variable: Option<&'static str>,
    /// Kind of value that follows the flag; `…` at its end says that there may be several.
    pub(super) value_name: &'static str,
    /// One sentence for `--help`.
    pub(super) help: &'static str,
    /// True for a key without a default.
    pub(super) is_required: bool,
    /// Path of a key that says the same in another way.
    pub(super) alternative: Option<&'static str>,
    /// Reads the value into its field.
    pub(super) set: fn(&mut C, Given) -> Result<(), String>,
    /// Writes the field as TOML, if it has a value.
    pub(super) show: fn(&C) -> Option<toml::Value>,
}

/// A value as a layer gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Text of a flag or a variable.
    Text(String),
    /// Value of a file.
    Toml(toml::Value),
}

impl Given {
    /// Reads the value, or says what was expected.
    pub fn read<V: Value>(self) -> Result<V, String> {
        match self {
            Self::Text(text) => V::parse(&text),
            Self::Toml(value) => V::from_toml(value),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Toml(value) => value.as_str() == Some(""),
        }
    }
}

impl<C> Key<C> {
    /// Makes the key of a path; its flag and variable follow from the path.
    #[must_use]
    pub fn new(
        path: &'static str,
        value_name: &'static str,
        help: &'static str,
        set: fn(&mut C, Given) -> Result<(), String>,
        show: fn(&C) -> Option<toml::Value>,
    ) -> Self {
        Self {
            path,
            flag: path.replace(['.', '_'], "-"),
            variable: format!("CLOUDAI_{}", path.replace('.', "_").to_uppercase()),
            fallback_variable: None,
            value_name,
            help,
            is_required: false,
            alternative: None,
            set,
            show,
        }
    }

    /// Refuses configurations without this key.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Names the flag otherwise than the key.
    #[must_use]
    pub fn with_flag(mut self, flag: &str) -> Self {
        flag.clone_into(&mut self.flag);
        self
    }

    /// Reads this variable when nothing gives the key.
    #[must_use]
    pub fn or_variable(mut self, variable: &'static str) -> Self {
        self.fallback_variable = Some(variable);
        self
    }

    /// Leaves this key aside when a higher layer gives the other one.
    #[must_use]
    pub fn alternative_to(mut self, path: &'static str) -> Self {
        self.alternative = Some(path);
        self
    }

    /// Returns its path as in the file, with dots.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// Reads the text of a flag into the field.
    ///
    /// # Errors
    ///
    /// Says what was expected.
    pub fn read(&self, config: &mut C, text: &str) -> Result<(), String> {
        (self.set)(config, Given::Text(text.to_owned()))
    }

    /// Writes the field as a flag takes it; empty if it has no value.
    #[must_use]
    pub fn text(&self, config: &C) -> String {
        match (self.show)(config) {
            None => String::new(),
            Some(toml::Value::String(text)) => text,
            Some(value) => value.to_string(),
        }
    }

    pub(super) fn is_list(&self) -> bool {
        self.value_name.ends_with('…')
    }

    pub(super) fn help_with_default(&self, defaults: &C) -> String {
        let help = format!("{} [env: {}]", self.help, self.variable);
        let default = (self.show)(defaults).filter(|_| !self.is_required);
        let default = default.map(|value| value.to_string()).unwrap_or_default();
        match default.as_str() {
            "" | "\"\"" | "0" | "[]" | "{}" => help,
            value => format!("{help} [default: {}]", value.trim_matches('"')),
        }
    }
}

/// Makes the [`Key`] of a field of the type that is called `Config` where the macro is used.
#[macro_export]
macro_rules! key {
    ($first:ident $(. $rest:ident)*, $value_name:literal, $help:literal) => {
        $crate::config::Key::new(
            concat!(stringify!($first) $(, ".", stringify!($rest))*),
            $value_name,
            $help,
            |config: &mut Config, given: $crate::config::Given| {
                config.$first $(. $rest)* = given.read()?;
                Ok(())
            },
            |config: &Config| $crate::config::Value::to_toml(&config.$first $(. $rest)*),
        )
    };
}

/// Finds the key of a path.
pub(super) fn find<'a, C>(keys: &'a [Key<C>], path: &str) -> Option<&'a Key<C>> {
    keys.iter().find(|key| key.path == path)
}

/// Finds the known path that differs in the fewest characters, when it is close enough to be meant.
pub(super) fn closest<C>(keys: &[Key<C>], path: &str) -> Option<&'static str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    keys.iter()
        .map(|key| {
            let by_last = edits(&last(path), &last(key.path)).saturating_add(1);
            (edits(path, key.path).min(by_last), key.path)
        })
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, path)| path)
}

/// Counts the insertions, deletions and replacements that turn one text into the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row = (0..=to.chars().count()).collect::<Vec<_>>();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line.saturating_add(1);
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let above = *cell;
            let replaced = diagonal.saturating_add(usize::from(a != b));
            *cell = replaced.min(above.saturating_add(1)).min(left.saturating_add(1));
            diagonal = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = line.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}
