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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, ClusterCommand, Command};

    #[test]
    fn what_is_asked_for_is_what_the_line_says() {
        let line = "clusterctl watch --subscribe tasks,workers --type task_status --task t1,t2 --task t3 \
                    --label team=x --from-index 7";
        let args = Args::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Cluster(ClusterCommand::Watch(args)) = args.command else {
            panic!("it is another command");
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expected = v1::WatchRequest {
            subscribe: names(&["tasks", "workers"]),
            types: names(&["task_status"]),
            task_ids: names(&["t1", "t2", "t3"]),
            labels: [("team".to_owned(), "x".to_owned())].into(),
            from_index: Some(7),
            cluster_id: None,
        };
        assert_eq!(request(args), expected);
    }
}
