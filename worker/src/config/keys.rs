//! Every key: its name, its purpose, and the field that it sets.

use std::sync::LazyLock;

use daemon::config::Key;
use daemon::key;

use super::Config;

/// All keys, in the order in which `--help` and `config check` list them.
pub(super) static KEYS: LazyLock<Vec<Key<Config>>> = LazyLock::new(|| {
    vec![
        key!(worker_id, "ID", "Name of this worker in the registry").required(),
        key!(listen, "ADDRESS", "Address to listen on"),
        key!(
            advertise,
            "HOST:PORT",
            "Address at which masters reach this worker [default: where it listens]"
        ),
        key!(data_dir, "DIR", "Directory for identity, results and logs").required(),
        key!(
            masters,
            "HOST:PORT,…",
            "Masters to register with; without any, the worker waits to be called"
        ),
        key!(
            join_token,
            "NAME.SECRET",
            "Token that admits this worker if nobody has registered it, and gets it a certificate in a cluster that issues them"
        )
        .alternative_to("join_token_file"),
        key!(join_token_file, "FILE", "File with that token").alternative_to("join_token"),
        key!(cpu, "N", "Processors to offer [default: all of the machine]"),
        key!(memory_mb, "MIB", "Memory to offer, in MiB [default: all of the machine]"),
        key!(
            storage_mb,
            "MIB",
            "Disk space to offer, in MiB [default: the free space of the data directory]"
        ),
        key!(gpu, "N", "GPUs to offer [default: all of the machine]"),
        key!(
            devices,
            "KIND=NAME,…",
            "Devices of a kind that tasks may ask for, as in fpga=/dev/fpga0, or the GPUs to use, as in \
             gpu=0; may be repeated"
        )
        .with_flag("device"),
        key!(executor, "NAME", "Executor that runs attempts: process, or noop for load tests"),
        key!(
            cgroups,
            "on|off",
            "Give each attempt a control group, which limits its processors and memory"
        ),
        key!(tls.certificate, "FILE", "Certificate of this worker, and of its issuers, in PEM"),
        key!(tls.key, "FILE", "Key of the certificate"),
        key!(tls.ca, "FILE", "Certificates that are trusted to issue those of masters"),
        key!(
            tls.renew,
            "BOOL",
            "Renew that certificate in its place, once the cluster issues certificates"
        ),
        key!(insecure, "BOOL", "Listen beyond this machine without any protection"),
        key!(
            pass_env,
            "NAME,…",
            "Variables of the worker's environment that tasks inherit, in addition to PATH, HOME, \
             LANG, LC_*, TZ, USER, LOGNAME, SHELL and TMPDIR; may be repeated"
        ),
        key!(
            shutdown_grace,
            "DURATION",
            "Time that attempts have to end when the worker shuts down"
        ),
        key!(log_level, "LEVEL", "Events to log, in the syntax of RUST_LOG, which it overrides")
            .or_variable("RUST_LOG"),
        key!(log_format, "NAME", "Format of log events: text or json"),
        key!(limits.log_bytes_max, "N", "Bytes to keep of each output of an attempt"),
        key!(limits.attempts_max, "N", "Attempts that may run or wait to be confirmed"),
        key!(limits.spool_bytes_max, "N", "Bytes of results that may wait to be confirmed"),
        key!(
            limits.disk_free_mb_min,
            "MIB",
            "Free MiB on the disk below which the worker takes no tasks"
        ),
        key!(retention.age, "DURATION", "Time for which logs of ended attempts are kept"),
        key!(retention.attempts, "N", "Number of attempts whose logs are kept"),
        key!(
            retention.bytes,
            "N",
            "Bytes that logs and directories of ended attempts may take together [default: a tenth \
             of the disk]"
        ),
        key!(labels, "KEY=VALUE,…", "Labels for constraints of tasks; may be repeated")
            .with_flag("label"),
    ]
});
