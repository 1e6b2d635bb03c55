//! `leader`: shows the leader, and hands leadership over.

use super::Context;
use crate::args::LeaderCommand;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(context: &Context, command: Option<LeaderCommand>) -> Result<(), Failure> {
    let client = context.client()?;
    let leader = match command {
        None => client.leader().await?,
        Some(LeaderCommand::Transfer { to }) => client.transfer_leader(to).await?,
    };
    if leader.leader_id.is_none() {
        return Err(Failure::NoLeader);
    }
    context.output.data(&leader, output::leader)
}
