//! `workers` and `worker`: the registry.

use proto::client::Consistency;
use proto::v1;

use super::Context;
use crate::args::WorkerCommand;
use crate::failure::Failure;
use crate::output;

pub(super) async fn list(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let mut workers = Vec::new();
    let mut cursor = None;
    loop {
        let request = v1::ListWorkersRequest { cursor, ..v1::ListWorkersRequest::default() };
        let page = client.workers(request).await?;
        workers.extend(page.workers);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return context.output.data(workers.as_slice(), output::workers);
        }
    }
}

pub(super) async fn run(context: &Context, command: WorkerCommand) -> Result<(), Failure> {
    let client = context.client()?;
    let worker = match command {
        WorkerCommand::Register { worker_id, address, labels } => {
            let labels = labels.into_iter().collect();
            client.register_worker(v1::RegisterRequest { worker_id, address, labels }).await?
        }
        WorkerCommand::Unregister { worker_id } => {
            client.unregister_worker(&worker_id).await?;
            context.output.message(format_args!("worker {worker_id} is unregistered"));
            return Ok(());
        }
        WorkerCommand::Show { worker_id } => {
            client.worker(&worker_id, Consistency::default()).await?
        }
    };
    context.output.data(&worker, output::worker)
}
