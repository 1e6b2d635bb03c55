//! `upgrade`: shows how far an upgrade is, holds the feature level, and lets it rise.

use std::time::Duration;

use proto::client::ClientError;
use proto::problem::ErrorKind;
use proto::v1;
use tokio::time::{Instant, sleep};

use super::Context;
use crate::args::UpgradeCommand;
use crate::failure::Failure;
use crate::output;

/// Pause between two looks at the level, which the leader raises within some seconds.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn run(context: &Context, command: UpgradeCommand) -> Result<(), Failure> {
    let client = context.client()?;
    let status = match command {
        UpgradeCommand::Status => client.upgrade().await?,
        UpgradeCommand::Hold => client.hold_level(true).await?,
        UpgradeCommand::Finish => {
            let begun = client.hold_level(false).await?;
            await_level(context, begun).await?
        }
    };
    context.output.data(&status, output::upgrade)
}

/// Looks until the level has risen as far as it can. Failing masters are asked again for as long as the
/// user's timeout allows.
async fn await_level(
    context: &Context,
    mut seen: v1::UpgradeStatus,
) -> Result<v1::UpgradeStatus, Failure> {
    let until = context.timeout.map(|timeout| Instant::now() + timeout);
    let mut told = None;
    while !is_finished(&seen) {
        if told.as_ref() != Some(&seen.next_step) {
            context.output.message(format_args!("waiting: {}", seen.next_step));
            told = Some(seen.next_step.clone());
        }
        if until.is_some_and(|until| Instant::now() + POLL_INTERVAL >= until) {
            return Err(Failure::StillUpgrading { level: seen.level, next_step: seen.next_step });
        }

        sleep(POLL_INTERVAL).await;
        match context.client()?.upgrade().await {
            Ok(status) => seen = status,
            Err(error) if is_passing(&error) => {
                context.output.message(format_args!("still waiting: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seen)
}

/// Returns true once the level is the highest that any master knows.
fn is_finished(status: &v1::UpgradeStatus) -> bool {
    let newest = status.masters.iter().filter_map(|master| master.level_max).max();
    status.level_possible == newest && newest == Some(status.level)
}

/// Returns true if a healthy cluster would have answered.
fn is_passing(error: &ClientError) -> bool {
    matches!(error.kind(), ErrorKind::NoLeader | ErrorKind::NotLeader | ErrorKind::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_finished_when_every_master_runs_the_newest_level() {
        let finished = |level, possible, levels: &[Option<u32>]| {
            let master = |level_max: &Option<u32>| v1::UpgradeMaster {
                level_max: *level_max,
                ..v1::UpgradeMaster::default()
            };
            is_finished(&v1::UpgradeStatus {
                level,
                level_possible: possible,
                masters: levels.iter().map(master).collect(),
                ..v1::UpgradeStatus::default()
            })
        };
        assert!(finished(2, Some(2), &[Some(2), Some(2)]));
        assert!(!finished(1, Some(2), &[Some(2), Some(2)]));
        assert!(!finished(1, Some(1), &[Some(1), Some(2)]));
        assert!(!finished(2, None, &[None, Some(2)]));
    }
}
