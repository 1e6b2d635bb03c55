//! Pages that are part of the program. They hold nothing of the cluster and need no credentials; what they
//! show they ask the API for.

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use pages::Page;
use proto::problem::{ErrorKind, Problem};

use super::answer::Refusal;
use super::routes::Routes;
use crate::access::Action;

/// Everything that a page may load comes from the master that serves the page, nothing is written into
/// it, and no other page may frame it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Its name changes with its bytes, so a copy of it is good for ever.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A copy of it may be used after this master was asked whether it is still the same.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// Another master may have it, of another release.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Adds the paths of all pages. Assets have one route, so that metrics do not name each of them.
pub(super) fn with_pages(routes: Routes) -> Routes {
    let pages = pages::all().iter().filter(|page| !page.is_immutable());
    pages.fold(routes, |routes, page| routes.get(page.path, Action::LoadPages, show)).get(
        "/assets/{*file}",
        Action::LoadPages,
        show,
    )
}

async fn show(uri: Uri, headers: HeaderMap) -> Response {
    match pages::at(uri.path()) {
        Some(page) => answer(page, &headers),
        None => {
            let detail = format!("there is nothing at {}", uri.path());
            let refusal = Refusal(Problem::new(ErrorKind::NotFound, detail));
            ([(CACHE_CONTROL, NO_STORE)], refusal).into_response()
        }
    }
}

/// Answers with the page, or with what the caller has already.
fn answer(page: &'static Page, headers: &HeaderMap) -> Response {
    let gzip = page.gzip.filter(|_| takes_gzip(headers));
    let tag = match gzip {
        Some(_) => format!("\"{}-gzip\"", page.tag),
        None => format!("\"{}\"", page.tag),
    };
    let mut response = if has(headers, page.tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let bytes = Bytes::from_static(gzip.unwrap_or(page.bytes));
        ([(CONTENT_TYPE, page.media_type)], Body::from(bytes)).into_response()
    };

    let is_whole = response.status() == StatusCode::OK;
    let answered = response.headers_mut();
    if gzip.is_some() && is_whole {
        answered.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if page.gzip.is_some() {
        answered.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answered.insert(ETAG, tag);
    }
    answered.insert(CACHE_CONTROL, if page.is_immutable() { FOR_EVER } else { ASK_AGAIN });
    answered.insert(CONTENT_SECURITY_POLICY, POLICY);
    answered.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    answered.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answered.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    answered.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// Returns true if the caller takes an answer that is compressed with gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    elements(headers, &ACCEPT_ENCODING).any(|element| {
        let (coding, weight) = element.split_once(';').unwrap_or((element, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        matches!(coding.trim(), "gzip" | "*") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// Returns true if the caller has a page with this tag, however it was encoded.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    elements(headers, &IF_NONE_MATCH).any(|element| {
        let known = element.trim_start_matches("W/").trim_matches('"');
        element == "*" || known.strip_suffix("-gzip").unwrap_or(known) == tag
    })
}

/// Returns the elements of a header that is a list.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("*", true),
            ("deflate, br", false),
            ("gzip;q=0, br", false),
            ("gzip; q=0.0", false),
            ("gzip;q=much", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&headers(ACCEPT_ENCODING, accepted)), takes, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_copy_is_known_by_its_tag_however_it_was_encoded() {
        for (known, is_known) in [
            ("\"abc\"", true),
            ("\"abc-gzip\"", true),
            ("\"x\", W/\"abc\"", true),
            ("*", true),
            ("\"abcd\"", false),
            ("abc-br", false),
        ] {
            assert_eq!(has(&headers(IF_NONE_MATCH, known), "abc"), is_known, "{known}");
        }
    }

    #[test]
    fn a_page_loads_nothing_from_elsewhere() {
        for page in pages::all() {
            let response = answer(page, &HeaderMap::new());
            let headers = response.headers();
            assert_eq!(headers[CONTENT_SECURITY_POLICY], POLICY, "{page:?}");
            assert_eq!(headers[CONTENT_TYPE], page.media_type);
            assert_eq!(headers.get(CONTENT_ENCODING), None);
            let text = String::from_utf8_lossy(page.bytes);
            let is_markup = page.media_type.starts_with("text/html");
            for inline in ["<style", " style=", " onclick=", "<script>"] {
                assert!(!is_markup || !text.contains(inline), "{page:?} has {inline}");
            }
        }
    }
}
