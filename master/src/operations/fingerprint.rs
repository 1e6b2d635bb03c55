//! Tells two submissions under one idempotency key apart: a number that every release and every
//! master computes alike.
//!
//! What a task says is fed in field by field, each under a number of its own and only where it
//! differs from the default. So a field that is added later changes nothing for tasks without it.
//! Numbers are never given twice, and the order of the calls below never changes.

use cluster_state::{
    Class, Constraint, ConstraintOp, Dependency, DependencyKind, Fnv1a, Link, OnDisconnect,
    Resources, RetryPolicy, SecretMap, TaskSpec, TextMap, Timing, When,
};
use proto::convert::{MAX_ATTEMPTS_DEFAULT, PRIORITY_DEFAULT, RETRY_BACKOFF_DEFAULT, TaskBatch};
use sha2::{Digest, Sha256};

/// Computes the fingerprint of a submission.
pub(super) fn fingerprint(batch: &TaskBatch) -> u64 {
    let mut print = Fingerprint(Fnv1a::default());
    for task in &batch.tasks {
        print.task(task);
    }
    for Link { task, after, kind } in &batch.links {
        let number = match kind {
            DependencyKind::Success => 35,
            DependencyKind::Any => 36,
        };
        print.field(number, &[task.to_le_bytes(), after.to_le_bytes()].concat());
    }
    print.0.finish()
}

/// A hash of fields.
struct Fingerprint(Fnv1a);

impl Fingerprint {
    fn task(&mut self, task: &TaskSpec) {
        let TaskSpec {
            name,
            command,
            env,
            working_dir,
            stdin,
            class,
            max_attempts,
            retry_backoff,
            run_timeout,
            on_disconnect,
            labels,
            secret_env,
            timing,
        } = task;
        let Class { priority, resources, constraints, worker, queue, concurrency_key } = &**class;

        self.text(1, name.as_deref());
        self.texts(2, command.iter().map(String::as_str));
        self.map(3, env);
        self.text(4, working_dir.as_deref());
        self.number(5, u128::from(*max_attempts), u128::from(MAX_ATTEMPTS_DEFAULT));
        self.number(6, retry_backoff.as_nanos(), RETRY_BACKOFF_DEFAULT.as_nanos());
        if let Some(run_timeout) = run_timeout {
            self.field(7, &run_timeout.as_nanos().to_le_bytes());
        }
        match on_disconnect {
            OnDisconnect::Keep => {}
            OnDisconnect::Requeue => self.field(8, b"requeue"),
        }
        self.map(9, labels);
        self.number(10, u128::from(*priority), u128::from(PRIORITY_DEFAULT));
        self.resources(resources);
        for constraint in constraints {
            self.constraint(constraint);
        }
        self.text(16, worker.as_ref().map(cluster_state::WorkerId::as_str));
        if let Some(stdin) = stdin {
            self.field(60, stdin.bytes());
        }
        self.text(37, Some(queue.as_str()).filter(|_| !queue.is_default()));
        self.text(38, concurrency_key.as_ref().map(cluster_state::ConcurrencyKey::as_str));
        if !secret_env.is_empty() {
            self.field(23, &digest_of(secret_env));
        }
        if let Some(timing) = timing {
            self.timing(timing);
        }
        self.field(0, b"");
    }

    fn timing(&mut self, timing: &Timing) {
        let Timing { start, queue_timeout, deadline, retry, dependencies } = timing;
        let RetryPolicy { factor_milli, max_backoff, jitter_milli, final_codes } = retry;
        self.when((24, 25), *start);
        if let Some(queue_timeout) = queue_timeout {
            self.field(26, &queue_timeout.as_nanos().to_le_bytes());
        }
        self.when((27, 28), *deadline);
        self.number(29, (*factor_milli).into(), RetryPolicy::FACTOR_MILLI_DEFAULT.into());
        if let Some(max_backoff) = max_backoff {
            self.field(30, &max_backoff.as_nanos().to_le_bytes());
        }
        self.number(31, (*jitter_milli).into(), 0);
        for codes in final_codes {
            self.field(32, &[codes.first, codes.last]);
        }
        for Dependency { task, kind } in dependencies {
            let number = match kind {
                DependencyKind::Success => 33,
                DependencyKind::Any => 34,
            };
            self.field(number, &task.0.to_le_bytes());
        }
    }

    fn when(&mut self, (after, at): (u8, u8), when: Option<When>) {
        match when {
            Some(When::After(duration)) => self.field(after, &duration.as_nanos().to_le_bytes()),
            Some(When::At(time)) => self.field(at, &time.0.to_le_bytes()),
            None => {}
        }
    }

    /// Adds all amounts, those that equal a default included: defaults may change.
    fn resources(&mut self, resources: &Resources) {
        // Each task takes one slot, whatever its submitter says.
        let Resources { cpu_milli, memory_mib, storage_mib, gpu, custom, slots: _ } = resources;
        for (number, amount) in [(11, cpu_milli), (12, memory_mib), (13, storage_mib), (14, gpu)] {
            self.number(number, u128::from(*amount), 0);
        }
        for (name, amount) in custom {
            self.text(17, Some(name));
            self.field(18, &amount.to_le_bytes());
        }
    }

    fn constraint(&mut self, Constraint { label, op }: &Constraint) {
        self.text(15, Some(label));
        match op {
            ConstraintOp::Equals(value) => self.texts(19, [value.as_str()]),
            ConstraintOp::NotEquals(value) => self.texts(20, [value.as_str()]),
            ConstraintOp::In(values) => self.texts(21, values.iter().map(String::as_str)),
            ConstraintOp::Exists => self.field(22, b""),
        }
    }

    fn map(&mut self, number: u8, map: &TextMap) {
        for (key, value) in map.iter() {
            self.texts(number, [key, value]);
        }
    }

    fn texts<'t>(&mut self, number: u8, texts: impl IntoIterator<Item = &'t str>) {
        for text in texts {
            self.text(number, Some(text));
        }
    }

    fn text(&mut self, number: u8, text: Option<&str>) {
        if let Some(text) = text {
            self.field(number, text.as_bytes());
        }
    }

    fn number(&mut self, number: u8, value: u128, default: u128) {
        if value != default {
            self.field(number, &value.to_le_bytes());
        }
    }

    /// Adds a field. Its length separates it from the next one.
    fn field(&mut self, number: u8, value: &[u8]) {
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes();
        self.0.write(std::iter::once(number).chain(length).chain(value.iter().copied()));
    }
}

/// Digests secret variables. The fingerprint is kept for longer than the secrets, and its own hash can be
/// reversed.
fn digest_of(secrets: &SecretMap) -> [u8; 32] {
    let mut digest = Sha256::new();
    for text in secrets.iter().flat_map(|(name, value)| [name, value.reveal()]) {
        digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(text);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use proto::convert;
    use proto::v1;
    use serde_json::json;

    use super::*;

    fn print(tasks: serde_json::Value) -> u64 {
        let tasks = serde_json::from_value::<Vec<v1::TaskSpec>>(tasks).unwrap();
        fingerprint(&convert::task_batch(tasks).unwrap())
    }

    /// Another value would refuse honest repetitions while masters of two releases serve: whatever
    /// fields tasks gain, these numbers stay.
    #[test]
    fn every_release_computes_the_same() {
        let plain = json!({"command": ["true"]});
        let with = |fields: serde_json::Value| {
            let mut task = plain.clone();
            task.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!([task])
        };
        let constraint = |op: serde_json::Value| with(json!({"constraints": [op]}));
        for (tasks, expected) in [
            (json!([plain]), 0xa29e_cf05_fa4e_4315),
            (json!([plain, plain]), 0xff5f_9b5d_b347_2ea5),
            (with(json!({"name": "n"})), 0xa7d6_4ff3_952c_2f81),
            (with(json!({"env": {"A": "1", "B": ""}})), 0xa638_b421_4dca_7aca),
            (
                with(json!({"resources": {"cpu": 2, "custom": {"license": 3}}})),
                0x7285_b853_c70b_0507,
            ),
            (with(json!({"priority": 100, "max_attempts": 1})), 0xffa4_0901_ea2b_2fc5),
            (with(json!({"retry_backoff": "5s", "run_timeout": "1m"})), 0xe1ac_9ca2_98df_fe42),
            (with(json!({"on_disconnect": "requeue", "worker_id": "w"})), 0x1036_1a4b_0680_ba48),
            (constraint(json!({"label": "zone", "op": "=", "value": "a"})), 0x875e_33e9_1888_78c3),
            (constraint(json!({"label": "zone", "op": "!=", "value": "a"})), 0xea6f_c837_07b2_23da),
            (
                constraint(json!({"label": "zone", "op": "in", "value": ["a", "b"]})),
                0x3dce_381d_8300_5ffd,
            ),
            (constraint(json!({"label": "zone", "op": "exists"})), 0x5950_e4ec_d607_17ac),
            (with(json!({"secret_env": {"A": "1", "B": ""}})), 0x1ccd_888b_549b_44f2),
        ] {
            assert_eq!(print(tasks.clone()), expected, "{tasks}");
        }
    }

    fn full() -> serde_json::Value {
        json!({
            "name": "n", "command": ["a", "b"], "env": {"K": "v"}, "working_dir": "/d",
            "resources": {"cpu": 2.5, "memory_mb": 3, "storage_mb": 4, "gpu": 1,
                          "custom": {"license": 1}},
            "priority": 7, "worker_id": "w", "max_attempts": 2, "retry_backoff": "3s",
            "constraints": [{"label": "zone", "op": "in", "value": ["x", "y"]},
                            {"label": "ssd", "op": "exists"}],
            "run_timeout": "1h", "labels": {"team": "x"}, "on_disconnect": "requeue",
            "secret_env": {"S": "v"}, "stdin": "in",
            "delay": "1m", "queue_timeout": "2m", "deadline": "3m", "retry_factor": 3,
            "retry_max_backoff": "4m", "retry_jitter": 0.5, "no_retry_exit_codes": [2, "64-78"],
            "after": ["t1"], "after_any": ["t2"], "queue": "q", "concurrency_key": "k",
        })
    }

    #[test]
    fn a_default_that_is_written_out_is_the_same_submission() {
        let explicit = json!([{"command": ["true"], "priority": 50, "max_attempts": 3,
            "retry_backoff": "1s", "on_disconnect": "keep", "env": {},
            "resources": {"cpu": 1, "memory_mb": 512}}]);
        assert_eq!(print(explicit), print(json!([{"command": ["true"]}])));
    }

    #[test]
    fn whatever_is_said_makes_a_difference() {
        let mut prints = std::collections::BTreeSet::from([print(json!([full()]))]);
        let fields = full().as_object().unwrap().clone();
        for field in fields.keys().filter(|field| *field != "command") {
            let mut task = fields.clone();
            task.remove(field);
            assert!(prints.insert(print(json!([task]))), "{field}");
        }
        for secrets in [json!({"S": "w"}), json!({"Sv": ""}), json!({"T": "v"})] {
            let mut task = fields.clone();
            task.insert("secret_env".to_owned(), secrets);
            assert!(prints.insert(print(json!([task]))));
        }
        for (field, value) in [
            ("delay", json!("2m")),
            ("deadline", json!("2030-01-01T00:00:00Z")),
            ("no_retry_exit_codes", json!([2, "64-79"])),
        ] {
            let mut task = fields.clone();
            task.insert(field.to_owned(), value);
            assert!(prints.insert(print(json!([task]))), "{field}");
        }
        let linked = |field: &str| {
            print(json!([{"command": ["a"], "local_name": "x"}, {"command": ["a"], field: ["x"]}]))
        };
        assert!(prints.insert(linked("after")) && prints.insert(linked("after_any")));
        for commands in [json!([["a", "b"]]), json!([["ab"]]), json!([["a"], ["b"]])] {
            let tasks = commands.as_array().unwrap().iter();
            let tasks = tasks.map(|command| json!({"command": command})).collect::<Vec<_>>();
            assert!(prints.insert(print(json!(tasks))), "{commands}");
        }
    }
}
