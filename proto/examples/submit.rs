//! Submits a task, follows what it writes, and waits for its end, whichever masters die meanwhile.
//!
//! ```sh
//! cargo run --release --package proto --example submit -- 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003
//! ```
//!
//! In a cluster with certificates, as `clusterctl dev` makes one, the files of the client follow: the
//! authority, the certificate and its key.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::io::Write;

use credentials::{Credentials, Files};
use proto::channel::Dialer;
use proto::client::{Client, ClientOptions};
use proto::problem::Outcome;
use proto::v1;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoints = arguments.next().ok_or("usage: submit ENDPOINT,… [CA CERTIFICATE KEY]")?;
    let files = arguments.collect::<Vec<_>>();
    let client = Client::new(endpoints.split(','), options(&files)?)?;

    let greeting = v1::TaskSpec {
        command: ["sh", "-c", "echo hello; sleep 5; echo bye"].map(str::to_owned).to_vec(),
        name: Some("greeting".to_owned()),
        ..v1::TaskSpec::default()
    };
    let task_id = submit(&client, greeting).await?;
    println!("submitted {task_id}");
    show_log(&client, &task_id).await?;

    let task = client.wait(&task_id, None).await?;
    println!("{task_id} is {:?} with exit code {:?}", task.state(), task.exit_code);
    Ok(())
}

/// Returns how to connect: with certificates if there are any.
fn options(files: &[String]) -> Result<ClientOptions, Box<dyn Error>> {
    let dialer = match files {
        [] => Dialer::plain(),
        [trusted, certificate, key] => Dialer::secured(Credentials::load(Files {
            trusted: trusted.into(),
            certificate: certificate.into(),
            key: key.into(),
        })?),
        _ => return Err("a client has three files: CA CERTIFICATE KEY".into()),
    };
    Ok(ClientOptions { dialer, ..ClientOptions::default() })
}

/// Submits a task. The client draws an idempotency key, and repeats the submission under it until there
/// is an answer or its time is over.
async fn submit(client: &Client, task: v1::TaskSpec) -> Result<String, Box<dyn Error>> {
    let submitted = client.submit(vec![task], None).await.inspect_err(|error| {
        let effect = match error.outcome() {
            Outcome::Rejected => "nothing was submitted",
            Outcome::Unknown => "the task may have been submitted",
        };
        println!("{effect}");
    })?;
    let task = submitted.into_iter().next().ok_or("the answer names no task")?;
    Ok(task.task_id)
}

/// Shows a log until the task is over. Where a connection breaks, it goes on at another master.
async fn show_log(client: &Client, task_id: &str) -> Result<(), Box<dyn Error>> {
    let request = v1::TaskLogsRequest {
        task_id: task_id.to_owned(),
        follow: true,
        ..v1::TaskLogsRequest::default()
    };
    let mut log = client.logs(request).await?;
    while let Some(chunk) = log.next().await? {
        std::io::stdout().write_all(&chunk.data)?;
    }
    Ok(())
}
