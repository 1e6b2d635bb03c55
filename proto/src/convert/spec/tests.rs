//! Tests of the tasks that are accepted, and of the faults that are named in others.

use cluster_state::Resources;

use super::*;
use crate::problem::Problem;

fn spec(json: serde_json::Value) -> Result<TaskSpec, Invalid> {
    serde_json::from_value::<v1::TaskSpec>(json).unwrap().try_into()
}

fn faults(json: serde_json::Value) -> Vec<String> {
    spec(json).unwrap_err().faults().iter().map(ToString::to_string).collect()
}

#[test]
fn a_bare_command_gets_the_defaults() {
    let spec = spec(serde_json::json!({"command": ["true"]})).unwrap();
    let resources =
        Resources { cpu_milli: 1_000, memory_mib: 512, slots: 1, ..Resources::default() };
    let expected = TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: cluster_state::TextMap::default(),
        working_dir: None,
        stdin: None,
        class: Arc::new(Class {
            priority: 50,
            resources,
            constraints: Vec::new(),
            worker: None,
            ..Class::default()
        }),
        max_attempts: 3,
        retry_backoff: Duration::from_secs(1),
        run_timeout: None,
        on_disconnect: OnDisconnect::Keep,
        labels: cluster_state::TextMap::default(),
        secret_env: cluster_state::SecretMap::default(),
        timing: None,
    };
    assert_eq!(spec, expected);
}

#[test]
fn a_full_task_is_read_to_the_last_field() {
    let spec = spec(serde_json::json!({
        "name": "train-7", "command": ["python3", "train.py"], "env": {"K": "v"},
        "working_dir": "/data",
        "resources": {"cpu": 2.5, "memory_mb": 4096, "storage_mb": 1024, "gpu": 1,
                      "custom": {"license": 1, "none": 0}},
        "priority": 100,
        "constraints": [{"label": "zone", "op": "=", "value": "a"},
                        {"label": "disk", "op": "!=", "value": ["slow"]},
                        {"label": "arch", "op": "in", "value": ["x86", "arm"]},
                        {"label": "ssd", "op": "exists"}],
        "worker_id": "worker-1", "max_attempts": 1, "retry_backoff": "250ms",
        "run_timeout": "1h", "labels": {"team": "x"}, "on_disconnect": "requeue",
    }))
    .unwrap();

    let constraint = |label: &str, op| Constraint { label: label.to_owned(), op };
    let expected = Class {
        priority: 100,
        resources: Resources {
            cpu_milli: 2_500,
            memory_mib: 4_096,
            storage_mib: 1_024,
            gpu: 1,
            slots: 1,
            custom: [(Arc::from("license"), 1)].into(),
        },
        constraints: vec![
            constraint("zone", ConstraintOp::Equals("a".to_owned())),
            constraint("disk", ConstraintOp::NotEquals("slow".to_owned())),
            constraint("arch", ConstraintOp::In(vec!["x86".to_owned(), "arm".to_owned()])),
            constraint("ssd", ConstraintOp::Exists),
        ],
        worker: Some("worker-1".parse().unwrap()),
        ..Class::default()
    };
    assert_eq!(*spec.class, expected);
    assert_eq!(spec.retry_backoff, Duration::from_millis(250));
    assert_eq!(spec.run_timeout, Some(Duration::from_secs(3_600)));
    assert_eq!(spec.on_disconnect, OnDisconnect::Requeue);
}

#[test]
fn every_fault_is_told_with_its_place() {
    let json = serde_json::json!({
        "command": ["", "a\u{0}b"], "env": {"A=B": "x"}, "labels": {"": "v"},
        "name": "n".repeat(257),
        "resources": {"cpu": 0.0005}, "priority": 101, "max_attempts": 0,
        "worker_id": "../etc", "retry_backoff": "soon", "run_timeout": "0s",
        "on_disconnect": "panic",
        "constraints": [{"label": "", "op": "=", "value": []}, {"label": "a", "op": "~"},
                        {"label": "b", "op": "exists", "value": "c"}],
    });
    let expected = [
        "/command: is required",
        "/command/1: holds a NUL character",
        "/env/A=B: is not the name of an environment variable",
        "/labels/: is required",
        "/name: is 257 bytes long: at most 256 are allowed",
        "/priority: is out of range: 0 to 100 are allowed",
        "/resources/cpu: is not a count of processors: 0 to 1000000 with at most three decimals are allowed",
        "/constraints/0/label: is required",
        "/constraints/0/value: has 0 values: exactly one is needed",
        "/constraints/1/op: is not one of =, !=, in, exists",
        "/constraints/2/value: has 1 values: none is allowed",
        "/worker_id: '../etc' is not a worker id: expected 1 to 253 letters, digits, '.', '_' or '-', starting with a letter or digit",
        "/retry_backoff: is not a duration: write it as in 250ms, 30s or 5m",
        "/run_timeout: must be more than zero",
        "/max_attempts: is out of range: 1 to 100 are allowed",
        "/on_disconnect: is not one of keep, requeue",
    ];
    assert_eq!(faults(json), expected);
}

#[test]
fn what_is_too_large_is_refused() {
    let half = "x".repeat(COMMAND_BYTES_MAX / 2);
    let json = serde_json::json!({"command": ["x", half, half]});
    assert_eq!(faults(json), ["/command: is 131076 bytes long: at most 131072 are allowed"]);

    let half = "v".repeat(ENV_BYTES_MAX / 2);
    let json = serde_json::json!({"command": ["x"], "env": {"A": half, "B": half}});
    assert_eq!(faults(json), ["/env: is 131074 bytes long: at most 131072 are allowed"]);
}

#[test]
fn secret_variables_are_checked_as_others_and_told_without_their_values() {
    let json = serde_json::json!({
        "command": ["x"], "env": {"A": "1"},
        "secret_env": {"A": "hunter2", "B=C": "hunter2", "D": "hunter2\u{0}"},
    });
    let expected = [
        "/secret_env/B=C: is not the name of an environment variable",
        "/secret_env/D: holds a NUL character",
        "/secret_env/A: cannot be given beside the same in env",
    ];
    assert_eq!(faults(json), expected);

    let half = "v".repeat(ENV_BYTES_MAX / 2);
    let json = serde_json::json!({"command": ["x"], "env": {"A": half}, "secret_env": {"B": half}});
    assert_eq!(faults(json), ["/env: is 131074 bytes long: at most 131072 are allowed"]);
}

#[test]
fn a_string_that_the_kernel_would_refuse_is_refused_by_name() {
    let places = |json| {
        let faults = spec(json).err().map(|invalid| invalid.faults().to_vec()).unwrap_or_default();
        faults.iter().map(|fault| place(&fault.to_string())).collect::<Vec<_>>()
    };
    let with_env = |bytes| serde_json::json!({"command": ["x"], "env": {"K": "v".repeat(bytes)}});
    assert_eq!(places(with_env(131_069)), [""; 0]);
    assert_eq!(places(with_env(131_070)), ["/env/K"]);

    let of_program = |bytes| serde_json::json!({"command": ["p".repeat(bytes)]});
    assert_eq!(places(of_program(4_095)), [""; 0]);
    assert_eq!(places(of_program(4_096)), ["/command/0"]);

    let with_argument = |bytes| serde_json::json!({"command": ["x", "a".repeat(bytes)]});
    assert_eq!(places(with_argument(131_069)), [""; 0]);
    assert_eq!(places(with_argument(131_072)), ["/command", "/command/1"]);
}

fn place(fault: &str) -> String {
    fault.split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn a_submission_names_the_task_that_is_wrong_and_shares_classes() {
    let good = v1::TaskSpec { command: vec!["true".to_owned()], ..v1::TaskSpec::default() };
    let specs = task_batch(vec![good.clone(), good.clone()]).unwrap().tasks;
    assert!(Arc::ptr_eq(&specs[0].class, &specs[1].class));

    let invalid = task_batch(vec![good, v1::TaskSpec::default()]).unwrap_err();
    assert_eq!(invalid.to_string(), "/1/command: is required");
    assert_eq!(Problem::from(invalid).kind, ErrorKind::InvalidTask);
}

#[test]
fn faults_are_counted_beyond_the_ones_listed() {
    let invalid = task_batch(vec![v1::TaskSpec::default(); 1_000]).unwrap_err();
    assert_eq!(invalid.faults().len(), 100);
    assert_eq!(invalid.to_string(), "/0/command: is required (and 999 other faults)");
}
