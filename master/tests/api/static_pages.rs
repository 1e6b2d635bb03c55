//! Pages that are part of the program, as a browser gets them.

use crate::one_master::OneMaster;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_with_what_keeps_it_to_itself_and_only_once() {
    let master = OneMaster::start().await;
    let page = master.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    assert_eq!(page.header("cache-control"), "no-cache");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");

    let again = master.ask("GET", "/", &[("if-none-match", page.header("etag"))], "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(again.header("etag"), page.header("etag"));
    let other = master.ask("GET", "/", &[("if-none-match", "\"0\"")], "").await;
    assert_eq!((other.status, other.body), (200, page.body.clone()));
    let head = master.ask("HEAD", "/", &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.headers["content-length"], page.body.len().to_string());
    let compressed = master.ask("HEAD", "/", &[("accept-encoding", "gzip")], "").await;
    assert_eq!(compressed.header("content-encoding"), "gzip");
    assert_ne!(compressed.header("etag"), page.header("etag"));
    master.ask("POST", "/", &[], "").await.problem(405, "method-not-allowed");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_loads_is_there() {
    let master = OneMaster::start().await;
    let page = master.get("/").await.body;
    for start in page.match_indices("=\"/assets/").map(|(at, _)| at + 2) {
        let path = page[start..].split('"').next().unwrap_or_default();
        let asset = master.ask("HEAD", path, &[], "").await;
        assert_eq!(asset.status, 200, "{path}");
        let kept = asset.header("cache-control");
        assert_eq!(kept, "public, max-age=31536000, immutable", "{path}");
    }
    // Behind a load balancer the page may come from a master of another release.
    let missing = master.get("/assets/index-of-another-release.js").await;
    assert_eq!(missing.header("cache-control"), "no-store");
    missing.problem(404, "not-found");
    master.stop().await;
}
