//! Tests of the parser of command lines.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(line.split_whitespace())
}

fn cluster(args: Args) -> ClusterCommand {
    let Command::Cluster(command) = args.command else { panic!("not asked of a cluster") };
    command
}

fn worker(line: &str) -> WorkerCommand {
    let ClusterCommand::Worker { command } = cluster(parse(line).unwrap()) else {
        panic!("not about a worker")
    };
    command
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
    assert_eq!(args.connection.endpoints, ["a:1", "b:2"]);
    assert_eq!(args.connection.output, Some(Format::Json));
    assert_eq!(args.timeout, Some(Duration::from_secs(5)));
    assert!(matches!(args.command, Command::Cluster(ClusterCommand::Status)));
}

#[test]
fn the_leader_is_shown_or_changed() {
    let args = parse("clusterctl leader").unwrap();
    assert!(matches!(cluster(args), ClusterCommand::Leader { command: None }));
    let args = parse("clusterctl leader transfer --to 2").unwrap();
    let ClusterCommand::Leader { command: Some(LeaderCommand::Transfer { to }) } = cluster(args)
    else {
        panic!("not a transfer");
    };
    assert_eq!(to, Some(2));
}

#[test]
fn a_task_is_a_command_after_two_dashes() {
    let line = "clusterctl task submit --cpu 0.5 --env A=1 --env B=x=y --wait -- sh -c ls --wait";
    let ClusterCommand::Task { command: TaskCommand::Submit(args) } = cluster(parse(line).unwrap())
    else {
        panic!("not a submission");
    };
    assert_eq!(args.spec.command, ["sh", "-c", "ls", "--wait"]);
    assert_eq!(args.spec.cpu, Some(0.5));
    assert_eq!(args.spec.env[1], ("B".to_owned(), "x=y".to_owned()));
    assert!(args.wait && !args.logs);
}

#[test]
fn a_task_comes_from_a_file_or_from_the_command_line() {
    assert!(parse("clusterctl task submit -f tasks.json --wait").is_ok());
    assert!(parse("clusterctl task submit -f - --format toml").is_ok());
    assert!(parse("clusterctl task submit -f a.json -f b.yaml --cpu 1 -- true").is_ok());
    assert_eq!(
        error("clusterctl task submit --format json -- true"),
        ErrorKind::MissingRequiredArgument
    );
    assert_eq!(
        error("clusterctl task submit --delay 1s --not-before x -- true"),
        ErrorKind::ArgumentConflict
    );
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

#[test]
fn a_drain_has_a_deadline_and_may_be_waited_for_or_taken_back() {
    let line = "clusterctl worker drain w1 --deadline 5m --wait --timeout 1h";
    let WorkerCommand::Drain(args) = worker(line) else { panic!("not a drain") };
    assert_eq!(args.worker_id, "w1");
    assert_eq!(args.deadline, Some(Duration::from_secs(300)));
    assert!(args.wait && !args.cancel);
    assert_eq!(parse(line).unwrap().timeout, Some(Duration::from_secs(3_600)));
    assert!(parse("clusterctl worker drain w1 --cancel").is_ok());
    let both = error("clusterctl worker drain w1 --cancel --wait");
    assert_eq!(both, ErrorKind::ArgumentConflict);
    let both = error("clusterctl worker drain w1 --cancel --deadline 1m");
    assert_eq!(both, ErrorKind::ArgumentConflict);
}

#[test]
fn labels_are_set_with_an_equals_sign_and_removed_with_a_minus() {
    let WorkerCommand::Label(args) = worker("clusterctl worker label w1 zone=b gpu= old-") else {
        panic!("not labels")
    };
    let set = |key: &str, value: &str| LabelChange::Set(key.to_owned(), value.to_owned());
    let expected = [set("zone", "b"), set("gpu", ""), LabelChange::Remove("old".to_owned())];
    assert_eq!(args.changes, expected);
    assert_eq!(error("clusterctl worker label w1"), ErrorKind::MissingRequiredArgument);
    assert_eq!(error("clusterctl worker label w1 zone"), ErrorKind::ValueValidation);
    assert_eq!(error("clusterctl worker label w1 -- -"), ErrorKind::ValueValidation);
}

#[test]
fn one_worker_or_all_are_reconnected() {
    let WorkerCommand::Reconnect { worker_id } = worker("clusterctl worker reconnect") else {
        panic!("not a reconnection")
    };
    assert_eq!(worker_id, None);
    assert!(parse("clusterctl worker reconnect w1").is_ok());
}

#[test]
fn a_token_needs_no_name_and_lives_as_long_as_is_said() {
    assert!(parse("clusterctl token create").is_ok());
    let line = "clusterctl token create rack-7 --ttl 24h --description new";
    let ClusterCommand::Token { command: TokenCommand::Create { name, ttl, description } } =
        cluster(parse(line).unwrap())
    else {
        panic!("not a token")
    };
    assert_eq!((name.as_deref(), description.as_str()), (Some("rack-7"), "new"));
    assert_eq!(ttl, Some(Duration::from_secs(86_400)));
    assert_eq!(error("clusterctl token create --ttl soon"), ErrorKind::ValueValidation);
    assert_eq!(error("clusterctl token revoke"), ErrorKind::MissingRequiredArgument);
}

#[test]
fn the_shell_knows_short_forms_and_every_command_of_a_cluster() {
    let shell = |line: &str| ShellLine::try_parse_from(line.split_whitespace());
    for line in [
        "register worker-1 192.168.1.100:50052",
        "unregister worker-1",
        "workers",
        "status",
        "reconnect",
        "reconnect worker-1",
        "cordon w1",
        "uncordon w1",
        "drain w1 --wait",
        "label w1 a=b",
        "history w1",
        "leader",
        "tasks --state queued",
        "task submit -- echo hello",
        "worker show w1 -o json",
        "token list",
        "exit",
        "quit",
    ] {
        assert!(shell(line).is_ok(), "{line}: {}", shell(line).unwrap_err());
    }
    let unknown = shell("tasks --state done").unwrap_err();
    assert!(unknown.to_string().contains("'done' is no state: blocked, scheduled, "), "{unknown}");
    for line in ["dev", "shell", "nonsense"] {
        assert_eq!(shell(line).unwrap_err().kind(), ErrorKind::InvalidSubcommand, "{line}");
    }
    assert_eq!(shell("help").unwrap_err().kind(), ErrorKind::DisplayHelp);
}

#[test]
fn the_shell_s_definition_has_no_contradiction() {
    ShellLine::command().debug_assert();
}

#[test]
fn a_backup_is_saved_inspected_and_restored() {
    let snapshot = |line: &str| {
        let Command::Snapshot { command } = parse(line).unwrap().command else {
            panic!("not about a backup")
        };
        command
    };
    let save = snapshot("clusterctl snapshot save a.backup --force -o json");
    let SnapshotCommand::Save { file, force } = save else { panic!("not saved") };
    assert_eq!((file, force), (PathBuf::from("a.backup"), true));
    assert!(matches!(snapshot("clusterctl snapshot inspect -"), SnapshotCommand::Inspect { .. }));

    let restore =
        "clusterctl snapshot restore a.backup --data-dir d --node-id 2 --cluster-name prod";
    assert_eq!(error(restore), ErrorKind::MissingRequiredArgument);
    let restore = snapshot(&format!("{restore} --initial-cluster 1=a:1,2=b:1"));
    let SnapshotCommand::Restore(args) = restore else { panic!("not restored") };
    assert_eq!((args.node_id, args.initial_cluster.as_str()), (2, "1=a:1,2=b:1"));
}

#[test]
fn orphaned_results_are_dropped_by_name_or_all() {
    assert!(parse("clusterctl orphan list").is_ok());
    assert!(parse("clusterctl orphan drop o1 o2").is_ok());
    assert!(parse("clusterctl orphan drop --all").is_ok());
    assert_eq!(error("clusterctl orphan drop"), ErrorKind::MissingRequiredArgument);
    assert_eq!(error("clusterctl orphan drop o1 --all"), ErrorKind::ArgumentConflict);
}

/// Flags of all commands must have other ids than arguments of single ones.
#[test]
fn a_command_with_a_key_of_its_own_takes_a_certificate_too() {
    let files = ["--cacert", "ca", "--cert", "c", "--key", "k"];
    for rest in [&["config", "get", "worker.lease"][..], &["tls", "cert", "master", "1"]] {
        let words = [&["clusterctl"], &files[..], rest].concat();
        let args = Args::try_parse_from(words).unwrap();
        let key = args.connection.key.unwrap();
        assert_eq!(key.to_str(), Some("k"), "{rest:?}");
        assert_eq!(args.connection.cert.unwrap().to_str(), Some("c"));
    }
}
