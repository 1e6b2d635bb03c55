//! `watch`: prints events as they happen.

use std::io::{self, Write};

use proto::v1;

use super::Context;
use crate::args::WatchArgs;
use crate::failure::Failure;
use crate::output;

/// Prints events until somebody has seen enough.
pub(super) async fn run(context: &Context, args: WatchArgs) -> Result<(), Failure> {
    let is_for_programs = context.output.is_for_programs();
    let mut events = context.client()?.watch(request(args)).await?;
    let mut ended = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let event = tokio::select! {
            ended = &mut ended => return Ok(ended?),
            event = events.next() => event?,
        };
        let line = if is_for_programs { event } else { output::event(&event) };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()?;
    }
}

fn request(args: WatchArgs) -> v1::WatchRequest {
    let WatchArgs { subscribe, types, tasks, labels, from_index } = args;
    v1::WatchRequest {
        subscribe,
        types,
        task_ids: tasks,
        labels: labels.into_iter().collect(),
        from_index,
        cluster_id: None,
    }
}
