//! Fuzz tests of the input from clients, workers and masters: it is read as it was sent, or
//! refused.

mod bodies;
mod conversions;
mod messages;
mod texts;

use std::collections::BTreeMap;

use cluster_fuzz::Memory;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use crate::v1;

/// An element of a list takes two bytes in a message, and in memory what its struct takes, up to half
/// a kilobyte, thrice while the list grows. The count of a message's elements has a bound of its own.
const MEMORY: Memory = Memory { per_byte: 1_024, fixed: 64 << 10 };

fn word() -> impl Strategy<Value = String> {
    "[a-z0-9.-]{0,8}|[a-zA-Z=/\"\\\\ä☃]{0,6}"
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{1,5}", word(), 0..4)
}

fn amounts() -> impl Strategy<Value = v1::Resources> {
    let cpu = prop_oneof![4 => (0..9_000_u32).prop_map(|milli| f64::from(milli) / 1_000.0), 1 => any::<f64>()];
    let amount = || option::of(prop_oneof![4 => 0..99_999_u64, 1 => any::<u64>()]);
    let custom = btree_map("[a-z]{1,5}", 0..9_u64, 0..3);
    (option::of(cpu), amount(), amount(), amount(), custom).prop_map(
        |(cpu, memory_mb, storage_mb, gpu, custom)| v1::Resources {
            cpu,
            memory_mb,
            storage_mb,
            gpu,
            custom,
        },
    )
}

fn constraint() -> impl Strategy<Value = v1::Constraint> {
    let condition = prop_oneof![
        Just((v1::ConstraintOperator::Equals, vec!["a"])),
        Just((v1::ConstraintOperator::NotEquals, vec!["a"])),
        Just((v1::ConstraintOperator::In, vec!["a", "b"])),
        Just((v1::ConstraintOperator::Exists, Vec::new())),
    ];
    ("[a-z]{1,5}", condition).prop_map(|(label, (op, values))| v1::Constraint {
        label,
        op: op.into(),
        value: values.into_iter().map(str::to_owned).collect(),
    })
}

fn duration() -> impl Strategy<Value = String> {
    "[0-9]{1,4}(ms|s|m|h|d)|1h 30m|[0-9]\\.[0-9]s"
}

fn spec() -> impl Strategy<Value = v1::TaskSpec> {
    let texts = (option::of(word()), vec("[a-z]{1,5}", 1..4), map(), option::of(word()));
    let times = (option::of(duration()), option::of(duration()));
    let class = (
        option::of(amounts()),
        option::of(0..101_u32),
        vec(constraint(), 0..3),
        option::of("[a-z][a-z0-9.-]{0,5}"),
    );
    let stdin = option::of(vec(any::<u8>(), 0..9));
    let queue = option::of("[a-z][a-z0-9.-]{0,5}");
    let rest = (option::of(1..9_u32), map(), option::of(1..3_i32), map(), (stdin, queue));
    (texts, times, class, rest, timing()).prop_map(|(texts, times, class, rest, timing)| {
        let (name, command, env, working_dir) = texts;
        let (retry_backoff, run_timeout) = times;
        let (resources, priority, constraints, worker_id) = class;
        let (max_attempts, labels, on_disconnect, secret_env, (stdin, queue)) = rest;
        v1::TaskSpec {
            name,
            command,
            env,
            working_dir,
            resources,
            priority,
            constraints,
            worker_id,
            max_attempts,
            retry_backoff,
            run_timeout,
            labels,
            on_disconnect,
            secret_env,
            stdin: stdin.map(Into::into),
            queue: queue.clone(),
            concurrency_key: queue,
            ..timing
        }
    })
}

/// Draws a task that says nothing but when it may run, and how it is retried.
fn timing() -> impl Strategy<Value = v1::TaskSpec> {
    let time = || "20[3-9][0-9]-01-0[1-9]T00:00:00Z";
    let deadline = prop_oneof![duration(), time()];
    let times =
        (option::of(duration()), option::of(time()), option::of(duration()), option::of(deadline));
    let names = || "[ab]|t[1-3]";
    let graph = (option::weighted(0.3, "[abc]"), vec(names(), 0..2), vec(names(), 0..2));
    let decimal = || option::of((0..3_000_u32).prop_map(|milli| f64::from(milli) / 1_000.0));
    let codes = vec("[1-9][0-9]?|[1-9]-[1-9][0-9]", 0..3);
    let retry = (decimal(), decimal(), option::of(duration()), codes);
    (times, retry, graph).prop_map(|(times, retry, (local_name, after, after_any))| {
        let (retry_factor, retry_jitter, retry_max_backoff, no_retry_exit_codes) = retry;
        let (delay, not_before, queue_timeout, deadline) = times;
        v1::TaskSpec {
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
            ..v1::TaskSpec::default()
        }
    })
}

fn uuid() -> impl Strategy<Value = String> {
    any::<u128>().prop_map(|number| cluster_state::ClusterId(number).to_string())
}

fn attempt() -> impl Strategy<Value = v1::AttemptRef> {
    (1..9_u64, 1..4_u32)
        .prop_map(|(task, attempt)| v1::AttemptRef { task_id: format!("t{task}"), attempt })
}

fn finished() -> impl Strategy<Value = v1::FinishedAttempt> {
    use v1::finished_attempt::{File, Outcome};
    let outcome = prop_oneof![
        any::<i32>().prop_map(Outcome::ExitCode),
        any::<i32>().prop_map(Outcome::Signal),
        word().prop_map(Outcome::StartError),
        word().prop_map(Outcome::Unfit),
        (0..5_i32).prop_map(Outcome::Lost),
    ];
    let file = prop_oneof![
        vec(any::<u8>(), 0..9).prop_map(|bytes| File::Content(bytes.into())),
        any::<u64>().prop_map(File::BytesTooMany),
        word().prop_map(File::Unreadable),
    ];
    let usage = (any::<u64>(), option::of(any::<u64>()), any::<bool>()).prop_map(
        |(cpu_micros, memory_peak_bytes, out_of_memory)| v1::AttemptUsage {
            cpu_micros,
            memory_peak_bytes,
            out_of_memory,
        },
    );
    (attempt(), outcome, option::of(usage), option::of(file)).prop_map(
        |(attempt, outcome, usage, file)| v1::FinishedAttempt {
            attempt: Some(attempt),
            outcome: Some(outcome),
            usage,
            file,
        },
    )
}

fn registration() -> impl Strategy<Value = v1::RegisterWorkerRequest> {
    let specs = (amounts(), map(), any::<u64>()).prop_map(|(total, labels, attempts_max)| {
        v1::WorkerSpecs { total: Some(total), labels, version: "0.1.0".to_owned(), attempts_max }
    });
    let ids = (option::of(uuid()), "[a-z][a-z0-9.-]{0,5}", uuid(), uuid());
    let lists = (vec(attempt(), 0..4), vec(finished(), 0..4));
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    let rest = (option::of(word()), "|fleet\\.s3cret", any::<bool>());
    (ids, specs, lists, numbers, rest).prop_map(|(ids, specs, lists, numbers, rest)| {
        let (cluster_id, worker_id, incarnation, data_id) = ids;
        let (running, finished) = lists;
        let (term_seen, sequence, start) = numbers;
        let (unfit, join_token, address_is_advertised) = rest;
        v1::RegisterWorkerRequest {
            cluster_id: cluster_id.unwrap_or_default(),
            worker_id,
            incarnation,
            address: "10.0.0.5:50052".to_owned(),
            specs: Some(specs),
            running,
            finished,
            term_seen,
            sequence,
            join_token,
            data_id,
            start,
            address_is_advertised,
            unfit,
        }
    })
}

/// Generates an encoded message of one of the kinds that have parts.
fn encoded() -> impl Strategy<Value = Vec<u8>> {
    let submission = (vec(spec(), 0..4), option::of(word()))
        .prop_map(|(tasks, idempotency_key)| v1::SubmitRequest { tasks, idempotency_key });
    let assignment = (attempt(), vec(word(), 0..4), map(), option::of(word()), any::<bool>())
        .prop_map(|(attempt, command, env, working_dir, requeue_on_disconnect)| v1::Assignment {
            attempt: Some(attempt),
            command,
            env,
            working_dir,
            requeue_on_disconnect,
            ahead: requeue_on_disconnect,
            stdin: None,
            resources: Some(v1::Resources { cpu: Some(0.5), ..v1::Resources::default() }),
        });
    let header = (uuid(), any::<u64>(), 1..4_u64).prop_map(|(cluster_id, term, leader_id)| {
        v1::LeaderHeader { cluster_id, term, leader_id, leader_address: "10.0.0.1:1".to_owned() }
    });
    let assignments = (header, vec(assignment, 0..4)).prop_map(|(leader, assignments)| {
        let (leader, worker_id) = (Some(leader), "w1".to_owned());
        v1::AssignTaskRequest { leader, worker_id, epoch: 3, assignments }
    });
    let labels = (map(), vec("[a-z]{1,3}", 0..3)).prop_map(|(set, remove)| {
        v1::LabelWorkerRequest { worker_id: "w1".to_owned(), set, remove }
    });
    let order = (0..5_i32, option::of(duration())).prop_map(|(order, timeout)| {
        v1::SetSchedulingRequest { worker_id: "w1".to_owned(), order, timeout }
    });
    let token =
        ("[a-z]{1,5}", option::of(duration()), word()).prop_map(|(token_id, ttl, description)| {
            v1::CreateTokenRequest { token_id, ttl, description }
        });
    let scope = option::of("[a-c]{0,3}=?[a-c]{0,3}");
    let user_token = ("[a-z]{1,5}", 0..6_i32, scope, option::of(duration()), word()).prop_map(
        |(user, role, scope, ttl, description)| v1::CreateUserTokenRequest {
            user,
            role,
            scope,
            ttl,
            description,
            token_id: String::new(),
        },
    );
    let config = (map(), option::of(any::<u64>()))
        .prop_map(|(values, if_index)| v1::SetConfigRequest { values, if_index });
    let worker = ("[a-z]{1,5}", option::of("10.0.0.[1-9]:1"), option::of(map())).prop_map(
        |(worker_id, address, labels)| v1::RegisterRequest {
            worker_id,
            address,
            labels: labels.map(|entries| v1::Labels { entries }),
        },
    );
    prop_oneof![
        3 => submission.prop_map(|message| message.encode_to_vec()),
        3 => registration().prop_map(|message| message.encode_to_vec()),
        2 => assignments.prop_map(|message| message.encode_to_vec()),
        1 => spec().prop_map(|message| message.encode_to_vec()),
        1 => finished().prop_map(|message| message.encode_to_vec()),
        1 => labels.prop_map(|message| message.encode_to_vec()),
        1 => order.prop_map(|message| message.encode_to_vec()),
        1 => token.prop_map(|message| message.encode_to_vec()),
        1 => user_token.prop_map(|message| message.encode_to_vec()),
        1 => config.prop_map(|message| message.encode_to_vec()),
        1 => worker.prop_map(|message| message.encode_to_vec()),
    ]
}
