//! Flags of `task submit`: the task that they give, and their place before what a file says.

use proto::v1;

use crate::args::{GraphArgs, SpecArgs, TimingArgs};
use crate::failure::Failure;
use crate::{secret_source, stdin_source};

/// Returns the fields that flags give; the others are absent.
pub(super) fn given(
    spec: SpecArgs,
    timing: TimingArgs,
    graph: GraphArgs,
) -> Result<v1::TaskSpec, Failure> {
    let SpecArgs { cpu, memory_mb, storage_mb, gpu, .. } = spec;
    let custom = spec.resources.into_iter().collect();
    let resources = v1::Resources { cpu, memory_mb, storage_mb, gpu, custom };
    let stdin = spec.stdin.as_deref().map(stdin_source::read).transpose()?;
    Ok(v1::TaskSpec {
        name: spec.name,
        command: spec.command,
        env: spec.env.into_iter().collect(),
        working_dir: spec.working_dir,
        resources: Some(resources).filter(|given| *given != v1::Resources::default()),
        priority: spec.priority,
        constraints: spec.constraints,
        worker_id: spec.worker,
        queue: spec.queue,
        concurrency_key: spec.concurrency_key,
        max_attempts: timing.max_attempts,
        retry_backoff: timing.retry_backoff,
        run_timeout: timing.run_timeout,
        labels: spec.labels.into_iter().collect(),
        on_disconnect: spec.on_disconnect,
        secret_env: secret_source::read(spec.secret_env, |name| std::env::var(name).ok())?,
        delay: timing.delay,
        not_before: timing.not_before,
        queue_timeout: timing.queue_timeout,
        deadline: timing.deadline,
        retry_factor: timing.retry_factor,
        retry_max_backoff: timing.retry_max_backoff,
        retry_jitter: timing.retry_jitter,
        no_retry_exit_codes: timing.no_retry_exit_codes,
        local_name: graph.local_name,
        after: graph.after,
        after_any: graph.after_any,
        stdin: stdin.map(Into::into),
    })
}

/// Changes a task by what flags give. A value and a list take the place of that of the task; variables,
/// labels and amounts of resources count one by one.
pub(super) fn put_before(given: &v1::TaskSpec, task: &mut v1::TaskSpec) {
    let v1::TaskSpec {
        name,
        command,
        env,
        working_dir,
        resources,
        priority,
        constraints,
        worker_id,
        queue,
        concurrency_key,
        max_attempts,
        retry_backoff,
        run_timeout,
        labels,
        on_disconnect,
        secret_env,
        delay,
        not_before,
        queue_timeout,
        deadline,
        retry_factor,
        retry_max_backoff,
        retry_jitter,
        no_retry_exit_codes,
        local_name,
        after,
        after_any,
        stdin,
    } = given;
    // Of these two a task has one.
    if delay.is_some() || not_before.is_some() {
        (task.delay, task.not_before) = (None, None);
    }
    for (given, own) in [
        (name, &mut task.name),
        (working_dir, &mut task.working_dir),
        (worker_id, &mut task.worker_id),
        (queue, &mut task.queue),
        (concurrency_key, &mut task.concurrency_key),
        (retry_backoff, &mut task.retry_backoff),
        (run_timeout, &mut task.run_timeout),
        (delay, &mut task.delay),
        (not_before, &mut task.not_before),
        (queue_timeout, &mut task.queue_timeout),
        (deadline, &mut task.deadline),
        (retry_max_backoff, &mut task.retry_max_backoff),
        (local_name, &mut task.local_name),
    ] {
        put(given.as_ref(), own);
    }
    put(stdin.as_ref(), &mut task.stdin);
    put(priority.as_ref(), &mut task.priority);
    put(max_attempts.as_ref(), &mut task.max_attempts);
    put(on_disconnect.as_ref(), &mut task.on_disconnect);
    put(retry_factor.as_ref(), &mut task.retry_factor);
    put(retry_jitter.as_ref(), &mut task.retry_jitter);
    put_list(command, &mut task.command);
    put_list(constraints, &mut task.constraints);
    put_list(no_retry_exit_codes, &mut task.no_retry_exit_codes);
    put_list(after, &mut task.after);
    put_list(after_any, &mut task.after_any);
    for (given, own) in
        [(env, &mut task.env), (labels, &mut task.labels), (secret_env, &mut task.secret_env)]
    {
        own.extend(given.clone());
    }
    if let Some(given) = resources {
        put_resources(given, task.resources.get_or_insert_default());
    }
}

fn put_resources(given: &v1::Resources, own: &mut v1::Resources) {
    let v1::Resources { cpu, memory_mb, storage_mb, gpu, custom } = given;
    put(cpu.as_ref(), &mut own.cpu);
    put(memory_mb.as_ref(), &mut own.memory_mb);
    put(storage_mb.as_ref(), &mut own.storage_mb);
    put(gpu.as_ref(), &mut own.gpu);
    own.custom.extend(custom.clone());
}

fn put<T: Clone>(given: Option<&T>, own: &mut Option<T>) {
    if given.is_some() {
        *own = given.cloned();
    }
}

fn put_list<T: Clone>(given: &[T], own: &mut Vec<T>) {
    if !given.is_empty() {
        *own = given.to_vec();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;
    use crate::args::{Args, ClusterCommand, Command, TaskCommand};

    /// Returns what the flags give.
    fn flags(words: &[&str]) -> v1::TaskSpec {
        let line = ["clusterctl", "task", "submit", "-f", "-"].iter().chain(words);
        let args = Args::try_parse_from(line).unwrap();
        let Command::Cluster(ClusterCommand::Task { command: TaskCommand::Submit(args) }) =
            args.command
        else {
            panic!("not a submission");
        };
        given(args.spec, args.timing, args.graph).unwrap()
    }

    /// A flag for each field: a field that a task gains needs one, and a line here.
    const FLAGS: [(&str, &[&str]); 28] = [
        ("name", &["--name", "n"]),
        ("command", &["--", "echo", "hello"]),
        ("env", &["--env", "A=1"]),
        ("working_dir", &["--working-dir", "/srv"]),
        (
            "resources",
            &[
                "--cpu",
                "0.5",
                "--memory-mb",
                "64",
                "--storage-mb",
                "9",
                "--gpu",
                "1",
                "--resource",
                "license=2",
            ],
        ),
        ("priority", &["--priority", "9"]),
        ("constraints", &["--constraint", "zone in a,b"]),
        ("worker_id", &["--worker", "w1"]),
        ("queue", &["--queue", "night"]),
        ("concurrency_key", &["--concurrency-key", "db"]),
        ("max_attempts", &["--max-attempts", "2"]),
        ("retry_backoff", &["--retry-backoff", "2s"]),
        ("run_timeout", &["--run-timeout", "1m"]),
        ("labels", &["--label", "team=x"]),
        ("on_disconnect", &["--on-disconnect", "requeue"]),
        ("secret_env", &["--secret-env", "TOKEN=@/dev/null"]),
        ("delay", &["--delay", "5s"]),
        ("not_before", &["--not-before", "2030-01-31T12:00:00Z"]),
        ("queue_timeout", &["--queue-timeout", "10m"]),
        ("deadline", &["--deadline", "2h"]),
        ("retry_factor", &["--retry-factor", "1.5"]),
        ("retry_max_backoff", &["--retry-max-backoff", "1h"]),
        ("retry_jitter", &["--retry-jitter", "0.25"]),
        ("no_retry_exit_codes", &["--no-retry-exit-code", "2", "--no-retry-exit-code", "64-78"]),
        ("local_name", &["--local-name", "build"]),
        ("after", &["--after", "t1", "--after", "t2"]),
        ("after_any", &["--after-any", "t3"]),
        ("stdin", &["--stdin", "/dev/null"]),
    ];

    fn fields(task: &v1::TaskSpec) -> serde_json::Map<String, Value> {
        let Value::Object(fields) = serde_json::to_value(task).unwrap() else {
            panic!("no object")
        };
        fields
    }

    #[test]
    fn every_field_of_a_task_has_a_flag() {
        let absent = fields(&v1::TaskSpec::default());
        let known = absent.keys().map(String::as_str).collect::<BTreeSet<_>>();
        assert_eq!(FLAGS.map(|(field, _)| field).into_iter().collect::<BTreeSet<_>>(), known);
        for (field, words) in FLAGS {
            let given = fields(&flags(words));
            let differing = known.iter().filter(|known| given[**known] != absent[**known]);
            assert_eq!(differing.collect::<Vec<_>>(), [&field], "{words:?}");
        }
        let resources = &fields(&flags(FLAGS[4].1))["resources"];
        let known = fields_of(&v1::Resources::default());
        assert!(known.iter().all(|name| !resources[name].is_null()), "{resources}");
        assert_eq!(resources["custom"], json!({"license": 2}));
    }

    fn fields_of(resources: &v1::Resources) -> Vec<String> {
        let value = serde_json::to_value(resources).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn a_flag_counts_before_what_a_file_says_of_the_same() {
        let own = FLAGS.iter().filter(|(field, _)| *field != "not_before");
        let mut own = own.fold(v1::TaskSpec::default(), |mut task, (_, words)| {
            put_before(&flags(words), &mut task);
            task
        });
        let before = own.clone();
        put_before(&v1::TaskSpec::default(), &mut own);
        assert_eq!(own, before, "no flag changes nothing");

        let line = "--env B=2 --env A=3 --label team=y --gpu 4 --constraint gpu --priority 1 \
            --not-before 2031-01-31T12:00:00Z --no-retry-exit-code 7";
        put_before(&flags(&line.split_whitespace().collect::<Vec<_>>()), &mut own);
        let mut expected = fields(&before);
        expected["env"] = json!({"A": "3", "B": "2"});
        expected["labels"] = json!({"team": "y"});
        expected["resources"]["gpu"] = json!(4);
        expected["constraints"] = json!([{"label": "gpu", "op": "exists", "value": []}]);
        expected["priority"] = json!(1);
        expected["delay"] = Value::Null;
        expected["not_before"] = json!("2031-01-31T12:00:00Z");
        expected["no_retry_exit_codes"] = json!([7]);
        assert_eq!(fields(&own), expected);
    }
}
