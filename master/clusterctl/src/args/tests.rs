//! How command lines are read.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(line.split_whitespace())
}

fn error(line: &str) -> ErrorKind {
    parse(line).unwrap_err().kind()
}

#[test]
fn the_definition_has_no_contradiction() {
    Args::command().debug_assert();
}

#[test]
fn global_options_stand_anywhere() {
    let args = parse("clusterctl status --endpoints a:1,b:2 -o json --timeout 5s").unwrap();
    assert_eq!(args.endpoints, ["a:1", "b:2"]);
    assert_eq!(args.output, Format::Json);
    assert_eq!(args.timeout, Some(Duration::from_secs(5)));
    assert!(matches!(args.command, Command::Status));
}

#[test]
fn the_leader_is_shown_or_changed() {
    let args = parse("clusterctl leader").unwrap();
    assert!(matches!(args.command, Command::Leader { command: None }));
    let args = parse("clusterctl leader transfer --to 2").unwrap();
    let Command::Leader { command: Some(LeaderCommand::Transfer { to }) } = args.command else {
        panic!("not a transfer");
    };
    assert_eq!(to, Some(2));
}

#[test]
fn a_task_is_a_command_after_two_dashes() {
    let line = "clusterctl task submit --cpu 0.5 --env A=1 --env B=x=y --wait -- sh -c ls --wait";
    let Command::Task { command: TaskCommand::Submit(args) } = parse(line).unwrap().command else {
        panic!("not a submission");
    };
    assert_eq!(args.command, ["sh", "-c", "ls", "--wait"]);
    assert_eq!(args.cpu, Some(0.5));
    assert_eq!(args.env[1], ("B".to_owned(), "x=y".to_owned()));
    assert!(args.wait && !args.logs);
}

#[test]
fn a_task_comes_from_a_file_or_from_the_command_line() {
    assert!(parse("clusterctl task submit -f tasks.json --wait").is_ok());
    assert!(parse("clusterctl task submit -f -").is_ok());
    assert_eq!(error("clusterctl task submit -f a.json -- true"), ErrorKind::ArgumentConflict);
    assert_eq!(error("clusterctl task submit -f a.json --cpu 1"), ErrorKind::ArgumentConflict);
    assert_eq!(error("clusterctl task submit"), ErrorKind::MissingRequiredArgument);
    assert_eq!(error("clusterctl task submit --cpu 1"), ErrorKind::MissingRequiredArgument);
}

#[test]
fn what_is_misspelled_is_refused() {
    assert_eq!(error("clusterctl tasks"), ErrorKind::InvalidSubcommand);
    assert_eq!(error("clusterctl status --timeout soon"), ErrorKind::ValueValidation);
    assert_eq!(error("clusterctl task submit --env A -- true"), ErrorKind::ValueValidation);
    assert_eq!(error("clusterctl dev --masters 0"), ErrorKind::ValueValidation);
    assert_eq!(error("clusterctl task wait"), ErrorKind::MissingRequiredArgument);
}

#[test]
fn errors_of_usage_exit_with_two() {
    assert_eq!(parse("clusterctl task").unwrap_err().exit_code(), 2);
    assert_eq!(parse("clusterctl --nonsense").unwrap_err().exit_code(), 2);
}
