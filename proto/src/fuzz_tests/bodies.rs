//! Fuzz tests of bodies of the REST API, and of the problems that it answers with.

use std::fmt::Debug;

use cluster_fuzz::{Fuzz, Memory, mutated};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{duration, map, spec, word};
use crate::convert::task_batch;
use crate::json::Submission;
use crate::problem::{ErrorKind, Fault, Outcome, Problem};
use crate::v1;

/// An element of a list takes three characters, and in memory what its struct takes, thrice while the
/// list grows. Of the largest, tasks, so many are kept as a submission may have.
const MEMORY: Memory = Memory { per_byte: 96, fixed: 16 << 20 };

fn submission() -> impl Strategy<Value = Vec<u8>> {
    let null = option::weighted(0.3, prop::sample::select(vec!["image", "name", "env", "delay"]));
    (vec(spec(), 1..4), any::<bool>(), null).prop_map(|(tasks, is_list, null)| {
        let mut json = match tasks.first() {
            Some(one) if !is_list => serde_json::to_value(one).unwrap(),
            _ => serde_json::to_value(tasks).unwrap(),
        };
        if let (Some(field), Some(task)) = (null, json.as_object_mut()) {
            task.insert(field.to_owned(), serde_json::Value::Null);
        }
        serde_json::to_vec(&json).unwrap()
    })
}

#[test]
fn a_submission_is_read_as_written_or_refused() {
    Fuzz::of("submissions in JSON").run(mutated(submission()), |body| {
        let Ok(read) = MEMORY.hold(&body, Submission::parse) else { return };
        let tasks = read.into_tasks();

        let Ok(specs) = task_batch(tasks.clone()) else { return };
        let written = serde_json::to_vec(&tasks).unwrap();
        let again = Submission::parse(&written).unwrap().into_tasks();
        assert_eq!(task_batch(again).unwrap(), specs);
    });
}

/// A body that cannot be read as a task is not kept either, even if it contains nulls.
#[test]
fn a_body_with_nulls_takes_no_more_memory_than_another() {
    let objects = "{\"\":0},".repeat(10_000);
    let body = format!(r#"{{"name":null,"command":["true"],"env":[{objects}0]}}"#);
    let memory = Memory { per_byte: 8, fixed: 64 << 10 };
    assert!(memory.hold(body.as_bytes(), Submission::parse).is_err());
}

/// Reads any body as that of any request.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(body: &[u8]) {
    let Ok(read) = MEMORY.hold(body, |body| serde_json::from_slice::<T>(body)) else { return };
    let written = serde_json::to_vec(&read).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), read);
}

#[test]
fn other_bodies_are_read_as_written_or_refused() {
    let labels = (map(), vec(word(), 0..3)).prop_map(|(set, remove)| v1::LabelWorkerRequest {
        worker_id: "w".to_owned(),
        set,
        remove,
    });
    let token =
        (word(), option::of(duration()), word()).prop_map(|(token_id, ttl, description)| {
            v1::CreateTokenRequest { token_id, ttl, description }
        });
    let user_token = (word(), 0..6_i32, option::of(word()), option::of(duration())).prop_map(
        |(user, role, scope, ttl)| v1::CreateUserTokenRequest {
            user,
            role,
            scope,
            ttl,
            ..v1::CreateUserTokenRequest::default()
        },
    );
    let problem = (prop::sample::select(ErrorKind::all().collect::<Vec<_>>()), word(), word())
        .prop_map(|(kind, pointer, detail)| Problem {
            kind,
            detail: detail.clone(),
            errors: vec![Fault { pointer, detail }],
            outcome: Some(Outcome::Unknown),
            request_id: Some("r-1".into()),
        });
    let selection = (vec(0..10_i32, 0..3), vec(word(), 0..3), option::of(word())).prop_map(
        |(states, labels, worker)| v1::TaskSelection {
            states,
            labels,
            worker,
            ..v1::TaskSelection::default()
        },
    );
    let body = prop_oneof![
        selection.prop_map(|body| serde_json::to_vec(&body).unwrap()),
        labels.prop_map(|body| serde_json::to_vec(&body).unwrap()),
        token.prop_map(|body| serde_json::to_vec(&body).unwrap()),
        user_token.prop_map(|body| serde_json::to_vec(&body).unwrap()),
        problem.prop_map(|body| serde_json::to_vec(&body).unwrap()),
    ];
    Fuzz::of("other bodies in JSON").run(mutated(body), |body| {
        check::<v1::LabelWorkerRequest>(&body);
        check::<v1::CreateTokenRequest>(&body);
        check::<v1::CreateUserTokenRequest>(&body);
        check::<v1::ScheduleSpec>(&body);
        check::<v1::QueueSpec>(&body);
        check::<v1::SetSchedulingRequest>(&body);
        check::<v1::TaskSelection>(&body);
        check::<v1::RevokeTokenRequest>(&body);
        check::<Problem>(&body);
        check::<Vec<Fault>>(&body);
    });
}
