//! Commands about upgrades.

use clap::Subcommand;

/// Actions in an upgrade.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum UpgradeCommand {
    /// Show who runs what, whether each master may be restarted now, and what comes next
    Status,
    /// Keep the feature level where it is: the release before can still be started
    Hold,
    /// Let the feature level rise, and wait until it has; from then on there is no way back
    #[command(
        after_help = "It is refused while a master runs an older release. While one does not \
        answer, it waits; the global --timeout bounds that (exit code 7)."
    )]
    Finish,
}
