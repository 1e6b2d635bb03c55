//! `mass-loss`: shows and acknowledges the mass-loss alarm.

use super::Context;
use crate::args::MassLossCommand;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(
    context: &Context,
    command: Option<MassLossCommand>,
) -> Result<(), Failure> {
    let client = context.client()?;
    let alarm = match command {
        None => client.status().await?.mass_loss,
        Some(MassLossCommand::Acknowledge) => {
            let alarm = client.acknowledge_mass_loss().await?;
            context.output.message("acknowledged: their tasks are queued again at once");
            // The alarm may be over by now, and then there is nothing to show.
            Some(alarm).filter(|alarm| !alarm.since.is_empty())
        }
    };
    context.output.data(&alarm, output::mass_loss)
}
