//! `config`: shows and changes the settings of the cluster.

use std::collections::BTreeMap;

use proto::v1;

use super::Context;
use crate::args::ConfigCommand;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(context: &Context, command: ConfigCommand) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        ConfigCommand::Get { key: None } => {
            context.output.data(&client.config().await?, output::config)
        }
        ConfigCommand::Get { key: Some(key) } => {
            let config = client.config().await?;
            let found = config.settings.iter().find(|setting| setting.key == key);
            let setting = found.ok_or(Failure::NoSuchSetting { key })?;
            // Standard output is the value alone, for use in scripts.
            context.output.data(setting, |setting, _| setting.value.clone())
        }
        ConfigCommand::Set { changes, if_index } => {
            let values = pairs(changes)?;
            let request = v1::SetConfigRequest { values: values.clone(), if_index };
            let mut config = client.set_config(request).await?;
            config.settings.retain(|setting| values.contains_key(&setting.key));
            context.output.data(&config, output::config)
        }
    }
}

/// Reads paths and values, in turn.
fn pairs(words: Vec<String>) -> Result<BTreeMap<String, String>, Failure> {
    let mut words = words.into_iter();
    let mut pairs = BTreeMap::new();
    while let Some(key) = words.next() {
        let Some(value) = words.next() else { return Err(Failure::NoValue { key }) };
        if pairs.insert(key.clone(), value).is_some() {
            return Err(Failure::TwoValues { key });
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Vec<(String, String)>, String> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        pairs(words).map(|pairs| pairs.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_named_with_their_values_in_turn() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read(&["a", "1", "b", "2"]), Ok(vec![pair("a", "1"), pair("b", "2")]));
        assert_eq!(read(&["a", "1", "b"]), Err("b has no value".to_owned()));
        assert_eq!(read(&["a", "1", "a", "2"]), Err("a is given twice".to_owned()));
    }
}
