//! Precedence, unknown keys, and what is said about values that cannot be used.

use std::io::Write;

use cluster_state::Backoff;

use super::*;

const LEAST: [&str; 3] =
    ["--node-id=1", "--data-dir=/var/lib/cloudai", "--initial-cluster=1=127.0.0.1:50051"];

fn invoke(flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let args = std::iter::once("master").chain(flags.iter().copied()).map(str::to_owned);
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    match parse(args, variable) {
        Ok(Invocation::Run(config)) => Ok(*config),
        Ok(Invocation::Check(text)) => Err(text),
        Ok(Invocation::Offline(order)) => Err(format!("{order:?}")),
        Err(error) => Err(error.to_string()),
    }
}

fn with(flags: &[&str]) -> Result<Config, String> {
    invoke(&[&LEAST, flags].concat(), &[])
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn with_file(text: &str, flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let file = file(text);
    let path = file.path().to_str().unwrap();
    let found = invoke(&[&LEAST, flags, &["--config", path]].concat(), variables);
    found.map_err(|error| error.replace(path, "FILE"))
}

#[test]
fn the_least_that_starts_a_master_has_the_documented_defaults() {
    let config = with(&[]).unwrap();
    assert_eq!(config.grpc_listen, "127.0.0.1:50051");
    assert_eq!(config.grpc_advertise, "127.0.0.1:50051");
    assert_eq!(config.http_listen, "127.0.0.1:8080");
    assert_eq!(config.raft.election_timeout.min, Duration::from_millis(250));
    assert_eq!(config.reconnect.interval, Duration::from_secs(30));
    assert_eq!(config.reconnect.attempt_timeout, Duration::from_secs(3));
    assert_eq!(config.worker.lease, Duration::from_secs(300));
    assert_eq!(config.worker.mass_loss_requeue_rate, 10);
    assert_eq!(config.limits.request_bytes, Bytes::mib(8));
    assert_eq!(config.limits.wait_requests, config.limits.http_connections / 2);
    assert!(!config.insecure);
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let text = "[reconnect]\ninterval = \"1s\"\nmax_parallel = 3\nenabled = false\n";
    let variables = [("CLOUDAI_RECONNECT_INTERVAL", "2s"), ("CLOUDAI_RECONNECT_MAX_PARALLEL", "4")];
    let config = with_file(text, &["--reconnect-interval", "3s"], &variables).unwrap();
    assert_eq!(config.reconnect.interval, Duration::from_secs(3));
    assert_eq!(config.reconnect.max_parallel, 4);
    assert!(!config.reconnect.enabled);
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let file = file("cluster_name = \"prod\"");
    let variables = [("CLOUDAI_CONFIG", file.path().to_str().unwrap())];
    assert_eq!(invoke(&LEAST, &variables).unwrap().cluster_name, "prod");
}

#[test]
fn members_may_be_a_list() {
    let text = "initial_cluster = [\"1=10.0.0.1:50051\", \"2=10.0.0.2:50051\"]\nnode_id = 2\n\
                data_dir = \"/d\"";
    let file = file(text);
    let config = invoke(&["--config", file.path().to_str().unwrap()], &[]).unwrap();
    assert_eq!(config.initial_cluster.len(), 2);
    assert_eq!(config.grpc_advertise, "10.0.0.2:50051");
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let told = |text| with_file(text, &[], &[]).unwrap_err();
    assert_eq!(
        told("[reconnect]\nintervall = \"1s\""),
        "unknown key 'reconnect.intervall' in FILE: did you mean 'reconnect.interval'?"
    );
    assert_eq!(told("[wombat]\nx = 1"), "unknown key 'wombat' in FILE");
    assert_eq!(told("lease = \"1m\""), "unknown key 'lease' in FILE: did you mean 'worker.lease'?");
    assert!(with(&["--no-such-flag"]).unwrap_err().contains("--no-such-flag"));
}

#[test]
fn a_bad_value_names_its_key_and_where_it_stands() {
    assert_eq!(
        with(&["--reconnect-interval", "5"]).unwrap_err(),
        "reconnect.interval (--reconnect-interval): '5' is not a duration such as 250ms, 30s or 5m"
    );
    let variables = [("CLOUDAI_RAFT_ELECTION_TIMEOUT", "400ms..250ms")];
    assert_eq!(
        invoke(&LEAST, &variables).unwrap_err(),
        "raft.election_timeout (CLOUDAI_RAFT_ELECTION_TIMEOUT): '400ms..250ms' does not rise: the \
         first must be below the second"
    );
    assert_eq!(
        with_file("[limits]\nrequest_bytes = \"8 apples\"", &[], &[]).unwrap_err(),
        "limits.request_bytes (FILE): '8 apples' is not a number of bytes such as 65536 or 8MiB"
    );
    assert_eq!(
        with_file("[scheduler]\nstrategy = \"random\"", &[], &[]).unwrap_err(),
        "scheduler.strategy (FILE): 'random' is neither spread nor binpack"
    );
    assert_eq!(
        with_file("[worker]\nlease = 1.5", &[], &[]).unwrap_err(),
        "worker.lease (FILE): a float cannot be a value here"
    );
}

#[test]
fn a_file_that_is_not_toml_is_told_by_line() {
    let told = with_file("node_id = 1\nnode_id = 2\n", &[], &[]).unwrap_err();
    assert!(told.starts_with("FILE is not a TOML file: line 2: duplicate key"), "{told}");
    let told = invoke(&["--config", "/no/such/file"], &[]).unwrap_err();
    assert_eq!(told, "cannot read the configuration file /no/such/file");
}

#[test]
fn what_is_missing_is_named_with_the_ways_to_give_it() {
    assert_eq!(
        invoke(&["--data-dir=/d"], &[]).unwrap_err(),
        "node_id is missing: give --node-id, CLOUDAI_NODE_ID or the key in the file"
    );
    assert_eq!(
        invoke(&["--node-id=1"], &[]).unwrap_err(),
        "data_dir is missing: give --data-dir, CLOUDAI_DATA_DIR or the key in the file"
    );
}

#[test]
fn certificates_come_whole_and_open_a_listener() {
    let open = ["--http-listen=0.0.0.0:8080", "--tls-certificate=c", "--tls-key=k"];
    assert_eq!(with(&open).unwrap_err(), "tls.ca: is missing, and tls.certificate is given");
    let whole = [&open[..], &["--tls-ca=ca"]].concat();
    let config = with(&whole).unwrap();
    assert!(!config.insecure && config.tls.files().is_some());
    // Whoever shows nothing has no rights then, unless it is said.
    assert_eq!(config.access.anonymous, Some(Anonymous(None)));
}

#[test]
fn an_open_listener_needs_the_word_insecure() {
    let told = with(&["--http-listen=0.0.0.0:8080"]).unwrap_err();
    assert_eq!(
        told,
        "http_listen: 0.0.0.0:8080 can be reached from other machines, without encryption or \
         authentication: give certificates (tls.certificate, tls.key and tls.ca, which `clusterctl \
         tls` makes), or set insecure = true to serve there all the same"
    );
    assert!(with(&["--http-listen=0.0.0.0:8080", "--insecure"]).unwrap().insecure);
    assert!(with(&["--http-listen=localhost:8080"]).is_ok());
    assert!(with(&["--http-listen=[::1]:8080"]).is_ok());
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let told = |flags: &[&str]| with(flags).unwrap_err();
    assert_eq!(
        told(&["--worker-lease=10s"]),
        "worker.lease: must not be shorter than worker.heartbeat_timeout"
    );
    assert_eq!(
        told(&["--worker-mass-loss-requeue-rate=0"]),
        "worker.mass_loss_requeue_rate: must be above 0: tasks of lost workers would never run again"
    );
    assert_eq!(
        told(&["--worker-heartbeat-timeout=6s"]),
        "worker.heartbeat_timeout: must be two worker.heartbeat_intervals or more"
    );
    assert_eq!(
        told(&["--raft-heartbeat-interval=200ms"]),
        "raft.election_timeout: must begin at two raft.heartbeat_intervals or more"
    );
    assert_eq!(
        told(&["--reconnect-attempt-timeout=0s"]),
        "reconnect.attempt_timeout: must be 10ms or more"
    );
    assert_eq!(
        told(&["--limits-inflight-bytes=1MiB"]),
        "limits.inflight_bytes: must not be below limits.request_bytes"
    );
    assert_eq!(
        told(&["--limits-body-bytes=1MiB"]),
        "limits.body_bytes: must not be below limits.request_bytes"
    );
    assert_eq!(
        told(&["--limits-http-connections=100", "--limits-wait-requests=51"]),
        "limits.wait_requests: must not be above 50, half of limits.http_connections: requests \
         that wait would leave no room for others"
    );
    assert_eq!(told(&["--http-listen=127.0.0.1:50051"]), "http_listen: is the same as grpc_listen");
    assert_eq!(told(&["--http-listen=8080"]), "http_listen: '8080' is not HOST:PORT");
    assert_eq!(
        told(&["--grpc-advertise=127.0.0.1:1"]),
        "grpc_advertise: initial_cluster gives master 1 another address"
    );
}

#[test]
fn members_are_checked() {
    let told = |members: &str| {
        let flag = format!("--initial-cluster={members}");
        invoke(&["--node-id=1", "--data-dir=/d", &flag], &[]).unwrap_err()
    };
    assert_eq!(
        told("2=127.0.0.1:1"),
        "initial_cluster: master 1 (node_id) is not among the members"
    );
    assert_eq!(
        told("1=127.0.0.1:1,2=127.0.0.1:1"),
        "initial_cluster: 127.0.0.1:1 is given to two masters"
    );
    assert_eq!(told("1=0.0.0.0:1"), "initial_cluster: master 1 cannot be reached at 0.0.0.0:1");
    for local in ["127.0.0.1:1", "localhost:1", "[::1]:1"] {
        let members = format!("1=10.0.0.1:1,2=10.0.0.2:1,3={local}");
        assert_eq!(
            told(&members),
            format!(
                "initial_cluster: master 3 cannot be reached at {local} from another machine, such \
                 as that of master 1 at 10.0.0.1:1: give all of them an address of their network"
            )
        );
    }
    assert_eq!(
        told("1=127.0.0.1:1,1=127.0.0.1:2"),
        "initial_cluster (--initial-cluster): master 1 is listed twice"
    );
    assert_eq!(
        told("0=127.0.0.1:1"),
        "initial_cluster (--initial-cluster): '0' is not a whole number above 0"
    );
}

#[test]
fn masters_on_one_machine_may_name_it_as_they_like() {
    for members in ["1=127.0.0.1:1,2=localhost:2,3=[::1]:3", "1=10.0.0.1:1,2=10.0.0.1:2"] {
        let flag = format!("--initial-cluster={members}");
        invoke(&["--node-id=1", "--data-dir=/d", &flag], &[]).unwrap();
    }
}

#[test]
fn checking_a_file_prints_what_would_be_in_force() {
    let text = "node_id = 1\ndata_dir = \"/d\"\n[reconnect]\ninterval = \"90s\"\n\
                [limits]\nrequest_bytes = 65536\n";
    let file = file(text);
    let shown = invoke(&["config", "check", file.path().to_str().unwrap()], &[]).unwrap_err();
    for line in [
        "node_id = 1",
        "data_dir = \"/d\"",
        "reconnect.interval = \"1m30s\"",
        "raft.election_timeout = \"250ms..400ms\"",
        "limits.request_bytes = \"64KiB\"",
        "retention.age = \"7days\"",
        "insecure = false",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }

    // What is printed is itself a configuration that says the same.
    let printed = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(printed.path(), &shown).unwrap();
    let again = invoke(&["config", "check", printed.path().to_str().unwrap()], &[]).unwrap_err();
    assert_eq!(again, shown);
}

#[test]
fn the_reconnection_monitor_is_set_by_flag_variable_and_file() {
    let backoff = |flags: &[&str]| with(flags).unwrap().reconnect.backoff;
    assert_eq!(backoff(&[]), Backoff::Off);
    assert_eq!(backoff(&["--reconnect-backoff"]), Backoff::Exponential);
    assert_eq!(backoff(&["--reconnect-backoff", "on"]), Backoff::Exponential);
    assert_eq!(backoff(&["--reconnect-backoff=off"]), Backoff::Off);
    let variables = [
        ("CLOUDAI_RECONNECT_BACKOFF", "on"),
        ("CLOUDAI_RECONNECT_INTERVALS_BY_PRIORITY", "high=5s, low=2m"),
    ];
    let reconnect = invoke(&LEAST, &variables).unwrap().reconnect;
    assert_eq!(reconnect.backoff, Backoff::Exponential);
    let intervals = [("high", 5), ("low", 120)]
        .map(|(name, seconds)| (name.to_owned(), Duration::from_secs(seconds)));
    assert_eq!(reconnect.intervals_by_priority, BTreeMap::from(intervals.clone()));

    let text = "[reconnect]\nbackoff = true\n\
                [reconnect.intervals_by_priority]\nhigh = \"5s\"\nlow = \"2m\"\n";
    let reconnect = with_file(text, &[], &[]).unwrap().reconnect;
    assert_eq!(reconnect.backoff, Backoff::Exponential);
    assert_eq!(reconnect.intervals_by_priority, BTreeMap::from(intervals));
}

#[test]
fn intervals_by_priority_are_checked_and_shown() {
    let told = |intervals: &str| {
        with(&[&format!("--reconnect-intervals-by-priority={intervals}")]).unwrap_err()
    };
    let place = "reconnect.intervals_by_priority (--reconnect-intervals-by-priority)";
    assert_eq!(told("high"), format!("{place}: 'high' is not VALUE=DURATION"));
    assert_eq!(told("=5s"), format!("{place}: '' is empty or listed twice"));
    assert_eq!(told("a=5s,a=6s"), format!("{place}: 'a' is empty or listed twice"));
    assert!(told("high=5").contains("'5' is not a duration"));
    assert_eq!(told("high=1ms"), "reconnect.intervals_by_priority: must be 10ms or more");
    assert_eq!(
        with_file("[worker]\nlease = {a = 1}", &[], &[]).unwrap_err(),
        "worker.lease (FILE): a table cannot be a value here"
    );

    let file =
        file("node_id = 1\ndata_dir = \"/d\"\nreconnect.intervals_by_priority.high = \"90s\"");
    let shown = invoke(&["config", "check", file.path().to_str().unwrap()], &[]).unwrap_err();
    for line in ["reconnect.intervals_by_priority = \"high=1m30s\"", "reconnect.backoff = \"off\""]
    {
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }
}
