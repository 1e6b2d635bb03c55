//! `member`: shows the members of the cluster, and changes who they are.

use std::time::Duration;

use proto::client::{Client, ClientError};
use proto::problem::ErrorKind;
use proto::v1;
use tokio::time::{Instant, sleep};

use super::Context;
use crate::args::{Format, MemberCommand};
use crate::failure::Failure;
use crate::output;

/// Pause before it is looked again whether a master has caught up.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Interval at which a person who waits is told how far it is.
const TOLD_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &Context, command: MemberCommand) -> Result<(), Failure> {
    let client = context.client()?;
    let (doing, changed) = match command {
        MemberCommand::List => {
            return context.output.data(&client.members().await?, output::members);
        }
        MemberCommand::Add { name, address } => {
            let doing = format!("adding master {name} at {address}");
            let request = v1::AddMemberRequest { name, address };
            (doing.clone(), told(context, &doing, client.add_member(request)).await?)
        }
        MemberCommand::Promote { name } => {
            let doing = format!("giving master {name} a vote");
            let promoted = when_caught_up(context, &doing, || client.promote_member(&name)).await?;
            (doing, promoted)
        }
        MemberCommand::Remove { name, force } => {
            let doing = format!("removing master {name}");
            let request = v1::RemoveMemberRequest { name, force };
            (doing.clone(), told(context, &doing, client.remove_member(request)).await?)
        }
        MemberCommand::Replace { old, new } => {
            let doing = format!("giving the vote of master {old} to master {new}");
            let request = v1::ReplaceMemberRequest { old, new };
            let replace = || client.replace_member(request.clone());
            let replaced = when_caught_up(context, &doing, replace).await?;
            (doing, replaced)
        }
    };
    if !changed.changed {
        context.output.message(format_args!("{doing}: there was nothing to do"));
    }
    for warning in &changed.warnings {
        context.output.message(format_args!("warning: {warning}"));
    }
    show(context, &client, &changed).await
}

/// Shows the change to programs, and the members after it to people.
async fn show(
    context: &Context,
    client: &Client,
    changed: &v1::MemberChanged,
) -> Result<(), Failure> {
    match context.output.format() {
        Format::Json => context.output.data(changed, |_, _| String::new()),
        Format::Table | Format::Name => {
            context.output.data(&client.members().await?, output::members)
        }
    }
}

/// Tells a person, once it takes long, that it is not over yet.
async fn told<T>(
    context: &Context,
    doing: &str,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let mut call = std::pin::pin!(call);
    let started = Instant::now();
    loop {
        tokio::select! {
            answer = &mut call => return answer,
            () = sleep(TOLD_INTERVAL) => {
                let seconds = started.elapsed().as_secs();
                context.output.message(format_args!("{doing}: {seconds} s"));
            }
        }
    }
}

/// Repeats an order until the master that gets a vote has caught up, and says how far it is.
async fn when_caught_up<C>(
    context: &Context,
    doing: &str,
    order: impl Fn() -> C,
) -> Result<v1::MemberChanged, Failure>
where
    C: Future<Output = Result<v1::MemberChanged, ClientError>>,
{
    let until = context.timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let error = match told(context, doing, order()).await {
            Ok(changed) => return Ok(changed),
            Err(error) => error,
        };
        let is_over = until.is_some_and(|until| Instant::now() + POLL_INTERVAL >= until);
        if error.kind() != ErrorKind::NotCaughtUp || is_over {
            return Err(error.into());
        }
        context.output.message(format_args!("waiting: {error}"));
        sleep(POLL_INTERVAL).await;
    }
}
