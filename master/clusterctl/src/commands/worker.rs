//! `workers` and `worker`: show and change the registry.

use proto::client::Client;
use proto::consistency::Consistency;
use proto::names::name_of;
use proto::v1;

use super::{Context, drain, scheduling_order};
use crate::args::{LabelArgs, LabelChange, WorkerCommand};
use crate::failure::Failure;
use crate::output;

/// Returns all workers, by name.
pub(super) async fn all(client: &Client) -> Result<Vec<v1::Worker>, Failure> {
    let mut workers = Vec::new();
    let mut cursor = None;
    loop {
        let request = v1::ListWorkersRequest { cursor, ..v1::ListWorkersRequest::default() };
        let page = client.workers(request).await?;
        workers.extend(page.workers);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(workers);
        }
    }
}

pub(super) async fn list(context: &Context) -> Result<(), Failure> {
    let workers = all(&context.client()?).await?;
    context.output.data(workers.as_slice(), output::workers)
}

/// Returns a registration that leaves the known labels alone when none is given.
pub(super) fn registration(
    worker_id: String,
    address: String,
    labels: Vec<(String, String)>,
) -> v1::RegisterRequest {
    let entries = Some(labels).filter(|labels| !labels.is_empty());
    let labels = entries.map(|entries| v1::Labels { entries: entries.into_iter().collect() });
    v1::RegisterRequest { worker_id, address: Some(address), labels }
}

pub(super) async fn run(context: &Context, command: WorkerCommand) -> Result<(), Failure> {
    let client = context.client()?;
    let worker = match command {
        WorkerCommand::Register { worker_id, address, labels } => {
            client.register_worker(registration(worker_id, address, labels)).await?
        }
        WorkerCommand::Unregister { worker_id } => {
            client.unregister_worker(&worker_id).await?;
            context.output.message(format_args!("worker {worker_id} is unregistered"));
            return Ok(());
        }
        WorkerCommand::Forget { worker_id, force } => {
            client.forget_worker(&worker_id, force).await?;
            context.output.message(format_args!("worker {worker_id} is forgotten"));
            return Ok(());
        }
        WorkerCommand::Show { worker_id } => {
            client.worker(&worker_id, Consistency::default()).await?
        }
        WorkerCommand::Cordon { worker_id } => {
            client.set_scheduling(scheduling_order(worker_id, v1::SchedulingOrder::Cordon)).await?
        }
        WorkerCommand::Uncordon { worker_id } => {
            client
                .set_scheduling(scheduling_order(worker_id, v1::SchedulingOrder::Uncordon))
                .await?
        }
        WorkerCommand::Drain(args) => drain::run(context, &client, args).await?,
        WorkerCommand::Reconnect { worker_id } => {
            return reconnect(context, &client, worker_id.as_deref()).await;
        }
        WorkerCommand::Label(args) => client.label_worker(label_request(args)).await?,
        WorkerCommand::History { worker_id } => {
            let history = client.worker_history(&worker_id, Consistency::default()).await?;
            return context.output.data(&history, output::worker_history);
        }
        WorkerCommand::Metrics { worker_id } => {
            let metrics = client.worker_usage(&worker_id).await?;
            return context.output.data(&metrics, output::worker_metrics);
        }
    };

    context.output.data(&worker, output::worker)
}

async fn reconnect(
    context: &Context,
    client: &Client,
    worker_id: Option<&str>,
) -> Result<(), Failure> {
    let response = client.reconnect(worker_id).await?;
    context.output.data(&response, output::reconnections)?;
    // Of all workers, some are expected to be offline; a named one is expected to answer.
    let missed = response.results.iter().find(|one| {
        worker_id == Some(one.worker_id.as_str())
            && !matches!(
                one.outcome(),
                v1::ReconnectOutcome::Reached | v1::ReconnectOutcome::Active
            )
    });
    match missed {
        Some(one) => Err(Failure::NotReached {
            worker_id: one.worker_id.clone(),
            outcome: name_of::<v1::ReconnectOutcome>(one.outcome),
        }),
        None => Ok(()),
    }
}

fn label_request(args: LabelArgs) -> v1::LabelWorkerRequest {
    let mut request =
        v1::LabelWorkerRequest { worker_id: args.worker_id, ..v1::LabelWorkerRequest::default() };
    for change in args.changes {
        match change {
            LabelChange::Set(key, value) => {
                request.set.insert(key, value);
            }
            LabelChange::Remove(key) => request.remove.push(key),
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_changes_become_one_request() {
        let args = LabelArgs {
            worker_id: "w1".to_owned(),
            changes: vec![
                LabelChange::Set("zone".to_owned(), "b".to_owned()),
                LabelChange::Remove("old".to_owned()),
            ],
        };
        let request = label_request(args);
        assert_eq!(request.set, [("zone".to_owned(), "b".to_owned())].into());
        assert_eq!(request.remove, ["old"]);
    }
}
