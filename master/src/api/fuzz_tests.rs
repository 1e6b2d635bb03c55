//! Whatever a client writes into queries, headers and `WebSocket`s: it is understood, or refused.

use axum::extract::Query;
use axum::http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use axum::http::{HeaderMap, Method, Uri};
use cluster_fuzz::{Fuzz, Memory, mutated, mutated_text};
use proptest::prelude::*;
use proptest::sample::select;

use super::input;
use super::strangers::Reach;
use super::{event_stream, tasks, workers};
use crate::events::Subscription;
use crate::task_query::{QueryTexts, TaskQuery};

#[test]
fn a_subscription_is_understood_or_refused() {
    let memory = Memory { per_byte: 64, fixed: 64 << 10 };
    let valid = [
        r#"{"subscribe":["workers","tasks"],"from_index":17,"cluster_id":"x"}"#,
        r#"{"subscribe":["leader","telemetry"]}"#,
        r#"{"types":["task_status"],"tasks":["t1","t2"],"labels":{"team":"x"}}"#,
        "{}",
    ];
    let texts = mutated_text(select(valid.to_vec()).prop_map(str::to_owned));
    Fuzz::of("subscriptions").run(texts, |text| {
        let parse = |bytes| Subscription::parse(std::str::from_utf8(bytes).unwrap()).ok();
        memory.hold(text.as_bytes(), parse);
    });
}

#[test]
fn a_query_is_understood_or_refused() {
    let valid = prop_oneof![
        "state=(queued|running|nonsense)&worker=w[1-9]&label=zone(=a)?&limit=[0-9]{1,4}",
        "limit=[0-9]{1,4}&cursor=t[1-9]&consistency=(stale|linearizable)",
        "index=[0-9]{1,20}&wait=[0-9]{1,4}(ms|s|m|h)",
        "attempt=[0-9]&stream=stdout&follow=true&tail=[0-9]{1,9}",
        "timeout=[0-9]{1,4}(s|m)",
        "subscribe=(tasks|workers,leader)&type=task_status&task=t[1-9]&label=a(=b)?&from_index=[0-9]{1,20}",
    ];
    Fuzz::of("queries").run(mutated_text(valid), |text| {
        let Ok(uri) = format!("/api/tasks?{text}").parse::<Uri>() else { return };
        Query::<tasks::ListParams>::try_from_uri(&uri).ok();
        Query::<tasks::WaitParams>::try_from_uri(&uri).ok();
        Query::<tasks::LogParams>::try_from_uri(&uri).ok();
        Query::<workers::ListParams>::try_from_uri(&uri).ok();
        Query::<workers::DrainParams>::try_from_uri(&uri).ok();

        if let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&uri) {
            event_stream::subscription(pairs).ok();
        }

        let text = text.as_str();
        input::duration("timeout", text).ok();
        input::reading(text, Some(1), Some(text)).ok();
        let parts = text.split(['=', '&']).map(Some).chain(std::iter::repeat(None));
        let parts = parts.take(4).collect::<Vec<_>>();
        let [state, worker, label, cursor] = [parts[0], parts[1], parts[2], parts[3]];
        let limit = Some(text.len());
        let name_prefix = label;
        let texts = QueryTexts { state, worker, label, name_prefix, limit, cursor, priority: None };
        TaskQuery::try_from(texts).ok();
    });
}

#[test]
fn headers_of_browsers_are_understood_or_refused() {
    let valid = "(https?://)?(\\[::1\\]|[a-z]{1,5}(\\.example)?|127\\.0\\.0\\.1)(:[0-9]{1,5})?";
    let inputs = (mutated(valid.prop_map(String::into_bytes)), any::<bool>(), any::<bool>());
    let site = HeaderName::from_static("sec-fetch-site");
    Fuzz::of("headers of browsers").run(inputs, |(bytes, is_local, is_origin)| {
        let Ok(value) = HeaderValue::from_bytes(&bytes) else { return };
        let names = ["cloudai.example".to_owned()].into();
        let reach = Reach { names, is_local, is_secured: is_local };
        let mut headers = HeaderMap::new();
        headers.insert(if is_origin { ORIGIN } else { HOST }, value.clone());
        reach.check(&Method::POST, "/api/tasks", &headers).ok();
        headers.insert(site.clone(), value);
        reach.check(&Method::GET, "/ws", &headers).ok();
    });
}
