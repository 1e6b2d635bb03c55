//! `queue`: shows what waits, and manages named queues.

use proto::client::{Client, ClientError};
use proto::problem::ErrorKind;
use proto::v1;

use super::Context;
use crate::args::{OrNone, QueueCommand, RateText, SetQueueArgs};
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(
    context: &Context,
    command: Option<QueueCommand>,
    limit: u32,
) -> Result<(), Failure> {
    let client = context.client()?;
    let queue = match command {
        None => {
            let queue = client.queue(limit).await?;
            return context.output.data(&queue, output::queue);
        }
        Some(QueueCommand::List) => {
            let queues = client.queues().await?.queues;
            return context.output.data(queues.as_slice(), output::named_queues);
        }
        Some(QueueCommand::Delete { name }) => {
            client.delete_queue(&name).await?;
            context.output.message(format_args!("queue {name} is deleted"));
            return Ok(());
        }
        Some(QueueCommand::Show { name }) => client.named_queue(&name).await?,
        Some(QueueCommand::Set(args)) => set(&client, args).await?,
        Some(QueueCommand::Pause { name }) => client.pause_queue(&name, true).await?,
        Some(QueueCommand::Resume { name }) => client.pause_queue(&name, false).await?,
    };
    context.output.data(&queue, output::named_queue)
}

/// Changes what is named of a queue, unless somebody else changes it meanwhile.
async fn set(client: &Client, args: SetQueueArgs) -> Result<v1::Queue, Failure> {
    let known = match client.named_queue(&args.name).await {
        Ok(known) => known,
        Err(ClientError::Refused { problem, .. }) if problem.kind == ErrorKind::NotFound => {
            v1::Queue { weight: 1, max_running_per_key: 1, ..v1::Queue::default() }
        }
        Err(error) => return Err(error.into()),
    };
    Ok(client.put_queue(changed(known, args)).await?)
}

fn changed(known: v1::Queue, args: SetQueueArgs) -> v1::QueueSpec {
    let SetQueueArgs { name, weight, max_running, max_running_per_key, rate } = args;
    let rate =
        rate.map(|OrNone(rate)| rate.map(|RateText { starts, per }| v1::QueueRate { starts, per }));
    v1::QueueSpec {
        name,
        weight: Some(weight.unwrap_or(known.weight)),
        paused: Some(known.paused),
        max_running: max_running.map_or(known.max_running, |OrNone(max)| max),
        max_running_per_key: Some(max_running_per_key.unwrap_or(known.max_running_per_key)),
        rate: rate.unwrap_or(known.rate),
        settings_index: Some(known.settings_index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_flag_names_stays() {
        let rate = || Some(v1::QueueRate { starts: 5, per: "60s".to_owned() });
        let known = v1::Queue {
            weight: 3,
            paused: true,
            max_running: Some(7),
            max_running_per_key: 2,
            rate: rate(),
            settings_index: 9,
            ..v1::Queue::default()
        };
        let args = SetQueueArgs {
            name: "a".to_owned(),
            weight: None,
            max_running: Some(OrNone(None)),
            max_running_per_key: None,
            rate: None,
        };
        let expected = v1::QueueSpec {
            name: "a".to_owned(),
            weight: Some(3),
            paused: Some(true),
            max_running: None,
            max_running_per_key: Some(2),
            rate: rate(),
            settings_index: Some(9),
        };
        assert_eq!(changed(known, args), expected);
    }
}
