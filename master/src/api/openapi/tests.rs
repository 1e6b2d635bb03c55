//! The description against the routes, and against the copy in the repository.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

fn routes() -> Vec<Route> {
    let mut routes = super::super::list();
    routes.retain(is_described);
    routes
}

#[test]
fn each_route_is_described_and_each_description_has_a_route() {
    let name = |method: &Method, path: &str| format!("{method} {path}");
    let served = routes().iter().map(|it| name(&it.method, &it.path)).collect::<BTreeSet<_>>();
    let operations = operations();
    let described = operations.iter().map(|it| name(&it.method, it.path)).collect::<Vec<_>>();
    let names = operations.iter().map(|it| it.name).collect::<BTreeSet<_>>();
    assert_eq!(names.len(), operations.len(), "two operations have one name");
    let once = described.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(once.len(), described.len(), "an operation is described twice");
    let undescribed = served.difference(&once).collect::<Vec<_>>();
    assert!(undescribed.is_empty(), "describe in master/src/api/openapi/: {undescribed:?}");
    let unserved = once.difference(&served).collect::<Vec<_>>();
    assert!(unserved.is_empty(), "no route is at: {unserved:?}");
}

#[test]
fn each_description_says_what_its_route_takes_and_answers() {
    for route in routes() {
        let all = operations();
        let operation = all.iter().find(|it| it.method == route.method && it.path == route.path);
        let operation = operation.unwrap();
        let Operation { path, body, answers, .. } = operation;
        assert_eq!(body.is_some(), route.inputs.contains(&Input::Body), "{path}: its body");
        assert!(!answers.is_empty(), "{path} answers nothing");
        for input in &route.inputs {
            if let Input::Query(field) = input {
                let described = parameters::of_query(path, field);
                let name = field.name;
                assert!(described.is_some(), "say what {name} of {path} means, in MEANINGS");
            }
        }
    }
}

#[test]
fn everything_that_the_document_refers_to_is_in_it() {
    let document = document(&routes());
    let text = document.to_string();
    for (at, start) in text.match_indices("\"$ref\":\"#") {
        let path = text[at + start.len()..].split('"').next().unwrap();
        assert!(document.pointer(path).is_some(), "{path}");
    }
}

#[test]
fn the_copy_in_the_documentation_is_the_description() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let text = serde_json::to_string_pretty(&document(&routes())).unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let copy = std::fs::read_to_string(&path).unwrap();
    assert!(copy == text, "docs/openapi.json is another: UPDATE_OPENAPI=1 renews it");
}
