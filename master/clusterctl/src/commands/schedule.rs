//! `schedule`: manages tasks that are submitted again and again.

use proto::client::Client;
use proto::names::name_of;
use proto::v1;

use super::{Context, submit};
use crate::args::{CreateScheduleArgs, GraphArgs, ScheduleCommand};
use crate::failure::Failure;
use crate::output;

/// Maximum number of schedules in one page.
const PAGE_MAX: u32 = 500;

pub(super) async fn run(context: &Context, command: ScheduleCommand) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        ScheduleCommand::Create(args) => {
            let replaces = args.replace;
            let spec = spec(*args)?;
            let schedule = if replaces {
                client.replace_schedule(spec).await?
            } else {
                client.create_schedule(spec).await?
            };
            context.output.data(&schedule, output::schedule)
        }
        ScheduleCommand::List => list(context, &client).await,
        ScheduleCommand::Show { name } => {
            let schedule = client.schedule(&name).await?;
            context.output.data(&schedule, output::schedule)
        }
        ScheduleCommand::Next { name, count } => {
            let next = client.next_runs(&name, count).await?;
            context.output.data(&next, output::next_runs)
        }
        ScheduleCommand::Run { name } => {
            let task = client.run_schedule(&name).await?;
            context.output.data(&task, |task, _| {
                format!("{} {}", task.task_id, name_of::<v1::TaskState>(task.state))
            })
        }
        ScheduleCommand::Pause { name } => pause(context, &client, &name, true).await,
        ScheduleCommand::Resume { name } => pause(context, &client, &name, false).await,
        ScheduleCommand::Delete { name } => {
            client.delete_schedule(&name).await?;
            context.output.message(format_args!("schedule {name} is deleted"));
            Ok(())
        }
    }
}

async fn pause(
    context: &Context,
    client: &Client,
    name: &str,
    paused: bool,
) -> Result<(), Failure> {
    let schedule = client.pause_schedule(name, paused).await?;
    context.output.data(&schedule, output::schedule)
}

async fn list(context: &Context, client: &Client) -> Result<(), Failure> {
    let mut schedules = Vec::new();
    let mut cursor = None;
    loop {
        let request = v1::ListSchedulesRequest {
            limit: PAGE_MAX,
            cursor,
            ..v1::ListSchedulesRequest::default()
        };
        let page = client.schedules(request).await?;
        schedules.extend(page.schedules);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    context.output.data(schedules.as_slice(), output::schedules)
}

fn spec(args: CreateScheduleArgs) -> Result<v1::ScheduleSpec, Failure> {
    let graph = GraphArgs::default();
    let mut tasks = submit::described(&args.files, args.format, args.spec, args.timing, graph)?;
    let (Some(task), 0) = (tasks.pop(), tasks.len()) else { return Err(Failure::NotOneTask) };
    Ok(v1::ScheduleSpec {
        name: args.schedule,
        cron: args.cron,
        time_zone: args.time_zone.unwrap_or_default(),
        overlap: args.overlap.unwrap_or(v1::ScheduleOverlap::Skip).into(),
        catch_up_window: args.catch_up_window,
        paused: args.paused,
        task: Some(task),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, ClusterCommand, Command};

    fn parsed(line: &str) -> Result<v1::ScheduleSpec, String> {
        let args = Args::try_parse_from(line.split('|')).map_err(|error| error.to_string())?;
        let Command::Cluster(ClusterCommand::Schedule { command: ScheduleCommand::Create(args) }) =
            args.command
        else {
            panic!("no schedule is created");
        };
        spec(*args).map_err(|failure| failure.message().unwrap_or_default())
    }

    #[test]
    fn flags_become_a_schedule() {
        let line = "clusterctl|schedule|create|nightly|--cron|30 2 * * MON-FRI|--time-zone|\
            Europe/Berlin|--overlap|buffer_one|--catch-up-window|5m|--paused|--name|backup|\
            --env|A=1|--|backup|--all";
        let expected = v1::ScheduleSpec {
            name: "nightly".to_owned(),
            cron: "30 2 * * MON-FRI".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            overlap: v1::ScheduleOverlap::BufferOne.into(),
            catch_up_window: Some("5m".to_owned()),
            paused: true,
            task: Some(v1::TaskSpec {
                name: Some("backup".to_owned()),
                command: vec!["backup".to_owned(), "--all".to_owned()],
                env: [("A".to_owned(), "1".to_owned())].into(),
                ..v1::TaskSpec::default()
            }),
        };
        assert_eq!(parsed(line), Ok(expected));
    }

    #[test]
    fn a_schedule_has_one_task() {
        let refused = parsed("clusterctl|schedule|create|a|--cron|@daily").unwrap_err();
        assert!(refused.contains("required"), "{refused}");
        let path = std::env::temp_dir().join(format!("schedule-{}.json", std::process::id()));
        let task = r#"{"command": ["true"]}"#;
        std::fs::write(&path, format!("[{task}, {task}]")).unwrap();
        let line = format!("clusterctl|schedule|create|a|--cron|@daily|--file|{}", path.display());
        assert_eq!(parsed(&line), Err("a schedule has one task, and here are others".to_owned()));
        std::fs::write(&path, task).unwrap();
        let task = parsed(&format!("{line}|--priority|7")).unwrap().task.unwrap();
        assert_eq!((task.command, task.priority), (vec!["true".to_owned()], Some(7)));
        std::fs::remove_file(&path).unwrap();
    }
}
