//! `context`: shows and changes the contexts in which commands run.

use super::variable;
use crate::args::ContextCommand;
use crate::contexts::{ContextFile, ContextsError};
use crate::failure::Failure;
use crate::output::{self, Output, ShownContext};

pub(super) fn run(output: Output, command: ContextCommand) -> Result<(), Failure> {
    let file = ContextFile::find(variable)?;
    let mut contexts = file.read()?;
    let is_current = |name: &str| contexts.current.as_deref() == Some(name);
    match command {
        ContextCommand::List => {
            let shown = contexts.contexts.iter();
            let shown = shown.map(|(name, one)| ShownContext::new(name, is_current(name), one));
            output.data(shown.collect::<Vec<_>>().as_slice(), output::contexts)
        }
        ContextCommand::Show { name } => {
            let name =
                name.or_else(|| contexts.current.clone()).ok_or(ContextsError::NoneCurrent)?;
            let shown = ShownContext::new(&name, is_current(&name), contexts.get(&name)?);
            output.data(&shown, output::context)
        }
        ContextCommand::Use { name } => {
            contexts.set_current(&name)?;
            file.write(&contexts)?;
            output.message(format_args!("context '{name}' is in use"));
            Ok(())
        }
        ContextCommand::Delete { name } => {
            contexts.remove(&name)?;
            file.write(&contexts)?;
            output.message(format_args!("context '{name}' is deleted"));
            Ok(())
        }
    }
}
