//! Fuzz tests of texts of the system and of people: marks of processes, their records, names of
//! logs, and the configuration.

use std::fs;
use std::path::Path;

use cluster_fuzz::{Fuzz, mutated, mutated_text};
use cluster_state::Incarnation;
use daemon::config::{Invocation, invocation};
use nix::unistd::Pid;
use proptest::prelude::*;
use proto::output::OutputStream;

use crate::config::{Config, command};
use crate::leftovers::ProcessRecords;
use crate::logs::parts::{Part, parts};
use crate::processes::{MARK, Mark, parse_stat};
use crate::specs::allowed_processors;

#[test]
fn a_mark_has_one_text() {
    let mark = (any::<u64>(), any::<u64>(), any::<u128>(), any::<u64>(), any::<u32>()).prop_map(
        |(device, inode, incarnation, task, attempt)| {
            format!("{device}.{inode}/{}/t{task}/{attempt}", Incarnation(incarnation))
        },
    );
    let mark = mark.boxed();
    let environment = mark.clone().prop_map(|mark| format!("A=b\0{MARK}={mark}\0C=d\0"));
    Fuzz::of("marks").run(
        (mutated_text(mark), mutated_text(environment)),
        |(text, environment)| {
            if let Ok(mark) = text.parse::<Mark>() {
                assert_eq!(mark.to_string(), text);
            }
            if let Some(mark) = Mark::find(environment.as_bytes()) {
                assert!(environment.contains(&format!("{MARK}={mark}")));
            }
        },
    );
}

#[test]
fn a_record_of_a_process_names_one_of_this_boot() {
    let dir = tempfile::tempdir().unwrap();
    let records = ProcessRecords::open(dir.path()).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let record = {
        let boot = boot.clone();
        (2..99_999_u32, 1..99_999_u32, any::<u64>()).prop_map(move |(group, session, started)| {
            format!("{group} {session} {started} {boot}")
        })
    };
    Fuzz::of("records of processes").run(mutated_text(record), |text| {
        if records.parse(&text).is_some() {
            assert!(text.contains(&boot), "{text}");
            // A number of one or less means all processes, or the worker's own group.
            let group = text.split(' ').next().unwrap().parse::<i32>().unwrap();
            assert!(group > 1);
        }
    });
}

#[test]
fn what_the_kernel_says_is_read_or_not() {
    let stat = "17 (a) b) S 4 5 6 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 900 1 1 1".to_owned();
    let status = "Name: x\nCpus_allowed_list:\t0-3,8\n".to_owned();
    Fuzz::of("files of the kernel").run(
        mutated_text(prop_oneof![Just(stat), Just(status)]),
        |text| {
            parse_stat(Pid::from_raw(17), &text);
            allowed_processors(&text);
        },
    );
}

#[test]
fn a_part_of_a_log_has_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let name = "stdout|stderr|std(out|err)\\.[1-9][0-9]{0,19}";
    Fuzz::of("names of logs").at_most(128).run(mutated_text(name), |name| {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        let path = dir.path().join(&name);
        if name.contains(['/', '\0']) || fs::write(&path, "").is_err() {
            return;
        }
        for stream in OutputStream::ALL {
            for part in parts(dir.path(), stream).unwrap() {
                assert_eq!(part, Part::new(dir.path(), stream, part.offset));
                assert_eq!(part.path, path);
            }
        }
    });
}

/// A configuration with all kinds of values.
const CONFIG: &str = r#"
worker_id = "worker-1"
data_dir = "/var/lib/worker"
listen = "127.0.0.1:7201"
masters = ["10.0.0.1:50051", "10.0.0.2:50051"]
cpu = 2.5
memory_mb = 1024
executor = "noop"
insecure = true
shutdown_grace = "1h 30m"
log_format = "json"
[limits]
attempts_max = 100
[retention]
age = "7days"
[labels]
zone = "a"
"#;

#[test]
fn a_configuration_is_read_as_it_is_shown_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, shown_file) = (dir.path().join("worker.toml"), dir.path().join("shown.toml"));
    let invoke = |words: &[&str], path: &Path| {
        let words = [&["worker"], words, &[path.to_str().unwrap()]].concat();
        invocation::<Config>(&command().try_get_matches_from(words).unwrap(), |_| None)
    };
    let read = |path| match invoke(&["--config"], path) {
        Ok(Invocation::Run(config)) => Some(*config),
        Ok(Invocation::Check(_)) | Err(_) => None,
    };

    let config = Just(CONFIG.as_bytes().to_vec());
    Fuzz::of("configuration of a worker").at_most(128).run(mutated(config), |bytes| {
        fs::write(&file, &bytes).unwrap();
        let Some(config) = read(&file) else { return };
        let Invocation::Check(shown) = invoke(&["config", "check"], &file).unwrap() else {
            panic!("it was to be shown")
        };
        fs::write(&shown_file, shown).unwrap();
        assert_eq!(read(&shown_file), Some(config));
    });
}
