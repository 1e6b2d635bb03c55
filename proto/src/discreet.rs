//! `Debug` of messages that hold secrets: values of variables, keys and tokens are left out.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::v1;

/// Variables of an environment, of which only the names are shown.
pub struct Names<'a>(pub &'a BTreeMap<String, String>);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for v1::TaskSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
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
            queue,
            concurrency_key,
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
        } = self;
        f.debug_struct("TaskSpec")
            .field("name", name)
            .field("command", command)
            .field("env", env)
            .field("working_dir", working_dir)
            .field("resources", resources)
            .field("priority", priority)
            .field("constraints", constraints)
            .field("worker_id", worker_id)
            .field("max_attempts", max_attempts)
            .field("retry_backoff", retry_backoff)
            .field("run_timeout", run_timeout)
            .field("labels", labels)
            .field("on_disconnect", on_disconnect)
            .field("queue", queue)
            .field("concurrency_key", concurrency_key)
            .field("secret_env", &Names(secret_env))
            .field("delay", delay)
            .field("not_before", not_before)
            .field("queue_timeout", queue_timeout)
            .field("deadline", deadline)
            .field("retry_factor", retry_factor)
            .field("retry_max_backoff", retry_max_backoff)
            .field("retry_jitter", retry_jitter)
            .field("no_retry_exit_codes", no_retry_exit_codes)
            .field("local_name", local_name)
            .field("after", after)
            .field("after_any", after_any)
            .field("stdin_bytes", &stdin.as_ref().map(Bytes::len))
            .finish()
    }
}

impl fmt::Debug for v1::AdoptIssuerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { roots, certificate, key: _, force } = self;
        f.debug_struct("AdoptIssuerRequest")
            .field("roots", roots)
            .field("certificate", certificate)
            .field("force", force)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::IssueCertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request: _, worker_id, join_token: _ } = self;
        f.debug_struct("IssueCertificateRequest")
            .field("worker_id", worker_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token_id, token: _, expires_at } = self;
        f.debug_struct("CreatedToken")
            .field("token_id", token_id)
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::CreatedUserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token_id, token: _, expires_at } = self;
        f.debug_struct("CreatedUserToken")
            .field("token_id", token_id)
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            attempt,
            command,
            env,
            working_dir,
            requeue_on_disconnect,
            resources,
            ahead,
            stdin,
        } = self;
        f.debug_struct("Assignment")
            .field("attempt", attempt)
            .field("command", command)
            .field("env", &Names(env))
            .field("working_dir", working_dir)
            .field("requeue_on_disconnect", requeue_on_disconnect)
            .field("resources", resources)
            .field("ahead", ahead)
            .field("stdin_bytes", &stdin.as_ref().map(Bytes::len))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_a_message_holds_no_secret() {
        let map = || BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
        let stdin = || Some(Bytes::from_static(b"hunter2"));
        let spec = v1::TaskSpec { secret_env: map(), stdin: stdin(), ..v1::TaskSpec::default() };
        let assignment = v1::Assignment { env: map(), stdin: stdin(), ..v1::Assignment::default() };
        let submission = v1::SubmitRequest { tasks: vec![spec], idempotency_key: None };
        let assignments = vec![assignment];
        let order = v1::AssignTaskRequest { assignments, ..v1::AssignTaskRequest::default() };
        for printed in [format!("{submission:?}"), format!("{order:?}")] {
            assert!(printed.contains("TOKEN") && !printed.contains("hunter2"), "{printed}");
        }
    }
}
