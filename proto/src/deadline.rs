//! Bounds a call on both sides: a frozen peer does not keep time.

use std::time::Duration;

use tonic::{Request, Response, Status};

/// Tells the peer the timeout of an answer.
pub fn timed<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// Waits for the answer of `peer`, such as "the leader", and no longer than `timeout`.
///
/// # Errors
///
/// The status of a call that failed; [`tonic::Code::DeadlineExceeded`] when there is no answer.
pub async fn within<T>(
    peer: &str,
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answered) => answered.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!("{peer} did not answer in time"))),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_not_waited_for() {
        let silent = std::future::pending::<Result<Response<()>, Status>>();
        let status = within("the leader", Duration::from_secs(1), silent).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.message(), "the leader did not answer in time");
    }

    #[test]
    fn the_peer_is_told_the_time() {
        let request = timed((), Duration::from_secs(2));
        assert_eq!(request.metadata().get("grpc-timeout").unwrap(), "2000000u");
    }
}
