//! Tasks and their submissions, which may have standard input, secret variables and bounds on their lives
//! since level 2.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Class, Constraint, IdempotencyKey, Level, LogIndex, OnDisconnect, Resources, SecretMap,
    SubmitTasks, Task, TaskId, TaskReason, TaskSpec, TaskState, TextMap, Timestamp, WorkerId,
};
use serde::{Deserialize, Serialize};

use super::LEVEL;
use super::attempts::AttemptBefore;
use crate::codec::{CodecError, Versioned, read_body, write_body};

/// A class in the one queue that there was.
#[derive(Serialize, Deserialize)]
struct ClassBefore {
    priority: u8,
    resources: Resources,
    constraints: Vec<Constraint>,
    worker: Option<WorkerId>,
}

impl From<&Class> for ClassBefore {
    fn from(class: &Class) -> Self {
        let Class { priority, resources, constraints, worker, queue: _, concurrency_key: _ } =
            class;
        Self {
            priority: *priority,
            resources: resources.clone(),
            constraints: constraints.clone(),
            worker: worker.clone(),
        }
    }
}

impl From<ClassBefore> for Class {
    fn from(before: ClassBefore) -> Self {
        let ClassBefore { priority, resources, constraints, worker } = before;
        Self { priority, resources, constraints, worker, ..Self::default() }
    }
}

/// A description without secret variables and timing.
#[derive(Serialize, Deserialize)]
struct TaskSpecBefore {
    name: Option<String>,
    command: Vec<String>,
    env: TextMap,
    working_dir: Option<String>,
    class: ClassBefore,
    max_attempts: u32,
    retry_backoff: Duration,
    run_timeout: Option<Duration>,
    on_disconnect: OnDisconnect,
    labels: TextMap,
}

impl TaskSpecBefore {
    /// Fails where the description has what no cluster below the level accepts.
    fn of(spec: &TaskSpec, cluster: Level) -> Result<Self, CodecError> {
        let is_extended = spec.timing.is_some() || spec.stdin.is_some();
        if !spec.secret_env.is_empty() || is_extended || !spec.class.is_plain() {
            return Err(CodecError::NoSuchEncoding(cluster));
        }
        let TaskSpec {
            name,
            command,
            env,
            working_dir,
            class,
            max_attempts,
            retry_backoff,
            run_timeout,
            on_disconnect,
            labels,
            stdin: _,
            secret_env: _,
            timing: _,
        } = spec.clone();
        Ok(Self {
            name,
            command,
            env,
            working_dir,
            class: ClassBefore::from(&*class),
            max_attempts,
            retry_backoff,
            run_timeout,
            on_disconnect,
            labels,
        })
    }
}

impl From<TaskSpecBefore> for Arc<TaskSpec> {
    fn from(before: TaskSpecBefore) -> Self {
        let TaskSpecBefore {
            name,
            command,
            env,
            working_dir,
            class,
            max_attempts,
            retry_backoff,
            run_timeout,
            on_disconnect,
            labels,
        } = before;
        Self::new(TaskSpec {
            name,
            command,
            env,
            working_dir,
            class: Arc::new(class.into()),
            max_attempts,
            retry_backoff,
            run_timeout,
            on_disconnect,
            labels,
            stdin: None,
            secret_env: SecretMap::default(),
            timing: None,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct TaskBefore {
    id: TaskId,
    spec: TaskSpecBefore,
    state: TaskState,
    reason: Option<TaskReason>,
    submitted_at: Timestamp,
    finished_at: Option<Timestamp>,
    failures: u32,
    losses: u32,
    attempts: Vec<AttemptBefore>,
    index: LogIndex,
}

impl Versioned for TaskBefore {
    const TYPE: u8 = Task::TYPE;
}

impl Versioned for Task {
    const TYPE: u8 = 4;
    const LEVEL: Level = LEVEL;

    fn read_earlier(level: Level, body: &[u8]) -> Result<Self, CodecError> {
        let TaskBefore {
            id,
            spec,
            state,
            reason,
            submitted_at,
            finished_at,
            failures,
            losses,
            attempts,
            index,
        } = read_body(level, body)?;
        Ok(Self {
            id,
            spec: spec.into(),
            state,
            reason,
            submitted_at,
            finished_at,
            failures,
            losses,
            attempts: attempts.into_iter().map(Into::into).collect(),
            index,
            course: None,
            ahead: None,
        })
    }

    fn write_earlier(&self, cluster: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
        if self.course.is_some() || self.ahead.is_some() {
            return Err(CodecError::NoSuchEncoding(cluster));
        }
        let spec = TaskSpecBefore::of(&self.spec, cluster)?;
        let Self { id, state, reason, submitted_at, finished_at, failures, losses, index, .. } =
            *self;
        let attempts = self.attempts.iter().map(|attempt| AttemptBefore::of(attempt, cluster));
        let attempts = attempts.collect::<Result<_, _>>()?;
        let before = TaskBefore {
            id,
            spec,
            state,
            reason,
            submitted_at,
            finished_at,
            failures,
            losses,
            attempts,
            index,
        };
        out.push(Level::FIRST.0);
        write_body(&before, out)
    }
}

#[derive(Serialize, Deserialize)]
struct SubmitTasksBefore {
    tasks: Vec<TaskSpecBefore>,
    idempotency_key: Option<IdempotencyKey>,
}

impl Versioned for SubmitTasksBefore {
    const TYPE: u8 = SubmitTasks::TYPE;
}

impl Versioned for SubmitTasks {
    const TYPE: u8 = 6;
    const LEVEL: Level = LEVEL;

    fn read_earlier(level: Level, body: &[u8]) -> Result<Self, CodecError> {
        let SubmitTasksBefore { tasks, idempotency_key } = read_body(level, body)?;
        Ok(Self { tasks: tasks.into_iter().map(Into::into).collect(), idempotency_key })
    }

    fn write_earlier(&self, cluster: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let tasks = self.tasks.iter().map(|spec| TaskSpecBefore::of(spec, cluster));
        let tasks = tasks.collect::<Result<_, _>>()?;
        let idempotency_key = self.idempotency_key.clone();
        out.push(Level::FIRST.0);
        write_body(&SubmitTasksBefore { tasks, idempotency_key }, out)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cluster_state::Timing;

    use super::*;
    use crate::codec::{decode, encode};

    fn submission(secrets: &[(&str, &str)]) -> SubmitTasks {
        let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let class = Class {
            priority: 1,
            resources: Resources::default(),
            constraints: Vec::new(),
            worker: None,
            ..Class::default()
        };
        let spec = TaskSpec {
            name: Some("n".to_owned()),
            command: vec!["true".to_owned()],
            env: BTreeMap::from([("A".to_owned(), "1".to_owned())]).into(),
            working_dir: None,
            stdin: None,
            class: Arc::new(class),
            max_attempts: 1,
            retry_backoff: Duration::ZERO,
            run_timeout: None,
            on_disconnect: OnDisconnect::Keep,
            labels: TextMap::default(),
            secret_env: secrets.collect::<BTreeMap<_, _>>().into(),
            timing: None,
        };
        SubmitTasks { tasks: vec![Arc::new(spec)], idempotency_key: None }
    }

    #[test]
    fn a_cluster_of_the_first_level_is_written_what_it_reads() {
        let plain = submission(&[]);
        let early = encode(&plain, Level::FIRST).unwrap();
        assert_eq!(early.get(..2), Some([6, 1].as_slice()));
        assert_eq!(decode::<SubmitTasks>(&early).unwrap(), plain);
        let secret = submission(&[("TOKEN", "hunter2")]);
        let refused = encode(&secret, Level::FIRST).unwrap_err().to_string();
        assert!(refused.contains("level 1") && !refused.contains("hunter2"), "{refused}");
        let written = encode(&secret, LEVEL).unwrap();
        assert_eq!(decode::<SubmitTasks>(&written).unwrap(), secret);
    }

    #[test]
    fn bounds_on_a_life_cost_one_byte_where_there_are_none() {
        let plain = submission(&[]);
        let early = encode(&plain, Level::FIRST).unwrap();
        let written = encode(&plain, LEVEL).unwrap();
        // Others for the absent standard input, secrets and concurrency key, and for the queue's name.
        assert_eq!(written.len(), early.len() + 5 + "default".len());

        let spec = plain.tasks.first().unwrap();
        let queue_timeout = Some(Duration::from_secs(60));
        let timing = Timing { queue_timeout, ..Timing::default() };
        let timed = TaskSpec { timing: timing.boxed(), ..TaskSpec::clone(spec) };
        let timed = SubmitTasks { tasks: vec![timed.into()], idempotency_key: None };
        assert!(encode(&timed, Level::FIRST).is_err());
        assert_eq!(decode::<SubmitTasks>(&encode(&timed, LEVEL).unwrap()).unwrap(), timed);
    }
}
