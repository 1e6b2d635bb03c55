//! Workers that register themselves with a join token.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use serde_json::json;
use tonic::Code;

use crate::one_master::OneMaster;
use crate::worker_calls::{NOWHERE, WorkerCalls};

async fn token(master: &OneMaster) -> String {
    let created = master.post("/api/tokens", &json!({"token_id": "fleet", "ttl": "1h"})).await;
    assert_eq!(created.status, 201, "{}", created.body);
    created.json().get("token").unwrap().as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_admits_a_worker_that_nobody_registered() {
    let master = OneMaster::start().await;
    let token = token(&master).await;
    let calls = WorkerCalls::of(&master).await;

    let session = calls.connect("new", NOWHERE, &token).await.unwrap();

    assert_eq!(session.epoch, 1);
    let shown = master.get("/api/workers/new").await.json();
    assert_eq!((&shown["is_active"], &shown["address"]), (&json!(true), &json!(NOWHERE)));
    // It is registered now: whatever token it presents is not looked at.
    assert_eq!(calls.connect("new", NOWHERE, "fleet.wrong").await.unwrap().epoch, 1);
    assert_eq!(master.delete("/api/tokens/fleet").await.status, 204);
    assert_eq!(calls.connect("new", NOWHERE, &token).await.unwrap().epoch, 1);
    let refused = calls.connect("newer", NOWHERE, &token).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knocks_with_a_wrong_token_leaves_nothing_in_the_log() {
    let master = OneMaster::start().await;
    token(&master).await;
    let calls = WorkerCalls::of(&master).await;
    let before = master.applied();

    for token in ["fleet.wrong", "other.secret"] {
        let refused = calls.connect("stranger", NOWHERE, token).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    }
    let refused = calls.connect("stranger", NOWHERE, "").await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");

    assert_eq!(master.applied(), before);
    let metrics = master.get("/metrics").await.body;
    let line = "cloudai_stale_rejections_total{kind=\"join-token\"} 2";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_undo_an_unregistration() {
    let master = OneMaster::start().await;
    let token = token(&master).await;
    let calls = WorkerCalls::of(&master).await;
    let session = calls.connect("new", NOWHERE, &token).await.unwrap();

    assert_eq!(master.delete("/api/workers/new").await.status, 204);

    assert!(calls.heartbeat("new", session.epoch).await, "it must learn that it is gone");
    let refused = calls.connect("new", NOWHERE, &token).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    master.stop().await;
}
