//! `job`, and orders about many tasks: asks whether they are meant, and waits until they are carried out.

use std::io::{self, IsTerminal};
use std::time::Duration;

use daemon::progress::Progress;
use proto::client::Client;
use proto::v1;
use tokio::time::Instant;

use super::Context;
use crate::args::{FollowArgs, Format, JobCommand};
use crate::failure::Failure;
use crate::output;

/// Pauses between two looks at a job: most are over in a moment.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(20);
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(500);

pub(super) async fn run(context: &Context, command: JobCommand) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        JobCommand::List => context.output.data(client.jobs().await?.as_slice(), output::jobs),
        JobCommand::Show { job_id } => {
            context.output.data(&client.job(&job_id).await?, output::job)
        }
        JobCommand::Wait { job_id } => {
            let job = client.job(&job_id).await?;
            let ended = wait(context, &client, job).await?;
            finish(context, &ended)
        }
    }
}

/// Gives an order about many tasks, and waits until it is carried out.
pub(super) async fn order(
    context: &Context,
    client: &Client,
    action: v1::JobAction,
    selection: v1::TaskSelection,
    follow: &FollowArgs,
) -> Result<(), Failure> {
    if !follow.yes && !confirms(context, action, &selection)? {
        return Err(Failure::NotConfirmed);
    }
    let job = match action {
        v1::JobAction::Retry => client.retry_tasks(selection).await?,
        v1::JobAction::Cancel | v1::JobAction::Unspecified => {
            client.cancel_tasks(selection).await?
        }
    };
    if follow.no_wait {
        return context.output.data(&job, |job, _| job.job_id.clone());
    }
    let ended = wait(context, client, job).await?;
    finish(context, &ended)
}

/// Asks whether these tasks are meant. Where nobody is there to answer, they are not.
fn confirms(
    context: &Context,
    action: v1::JobAction,
    selection: &v1::TaskSelection,
) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    let verb = match action {
        v1::JobAction::Retry => "run again",
        v1::JobAction::Cancel | v1::JobAction::Unspecified => "cancel",
    };
    let meant = output::selection(selection);
    context.output.message(format_args!("This will {verb} {meant}. Go on? [y/N]"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Returns the job when it has ended. A change of leaders in the meantime does not matter.
async fn wait(context: &Context, client: &Client, mut job: v1::Job) -> Result<v1::Job, Failure> {
    let started = Instant::now();
    let mut pause = LOOK_PAUSE_MIN;
    let mut progress = Progress::new("passed");
    while job.state() == v1::JobState::Running {
        if context.timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
            let v1::Job { job_id, percent, .. } = job;
            return Err(Failure::JobStillGoing { job_id, percent });
        }
        progress.show_part(job.percent.into(), 100, &output::deeds(&job));
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(LOOK_PAUSE_MAX);
        job = client.job(&job.job_id).await?;
    }
    Ok(job)
}

fn finish(context: &Context, job: &v1::Job) -> Result<(), Failure> {
    if context.output.format() == Format::Json {
        context.output.data(job, output::job)?;
    } else {
        context.output.message(format_args!("job {}: {}", job.job_id, output::deeds(job)));
    }
    match &job.reason {
        Some(reason) => {
            let (job_id, reason) = (job.job_id.clone(), reason.clone());
            Err(Failure::JobStopped { job_id, reason })
        }
        None => Ok(()),
    }
}
