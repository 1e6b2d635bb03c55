//! Contexts as they are kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

/// A scratch directory, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("clusterctl-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        Self(dir)
    }

    fn file(&self) -> ContextFile {
        let path = self.0.join("below/contexts.toml").display().to_string();
        ContextFile::find(|name| (name == "CLUSTERCTL_CONFIG").then(|| path.clone())).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn prod() -> SavedContext {
    SavedContext {
        endpoints: vec!["10.0.0.1:50051".to_owned(), "10.0.0.2:50051".to_owned()],
        cacert: Some("/etc/ca.pem".into()),
        token: Some(StoredToken::new(" clu_a_secret\n")),
        ..SavedContext::default()
    }
}

#[test]
fn contexts_are_kept_in_a_file_of_their_owner_alone() {
    let scratch = Scratch::new("kept");
    let file = scratch.file();
    assert_eq!(file.read().unwrap(), Contexts::default());
    let mut contexts = Contexts::default();
    contexts.log_in("prod", prod());
    file.write(&contexts).unwrap();
    contexts.log_in("dev", SavedContext::default());
    file.write(&contexts).unwrap();
    assert_eq!(file.read().unwrap(), contexts);
    assert_eq!(contexts.current.as_deref(), Some("dev"));
    let dir = file.path().parent().unwrap();
    assert_eq!((mode(file.path()), mode(dir)), (0o600, 0o700));
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["contexts.toml"]);

    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let told = file.read().unwrap_err().to_string();
    assert!(told.contains("(mode 0640); chmod 600 it"), "{told}");
}

#[test]
fn a_file_that_holds_something_else_is_not_repeated() {
    let scratch = Scratch::new("form");
    let file = scratch.file();
    file.write(&Contexts::default()).unwrap();
    for text in ["current = clu_a_secret", "[contexts.a]\ntoken = \"clu_a_secret\"", "clu_a_secret"]
    {
        fs::write(file.path(), text).unwrap();
        let error = file.read().unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
        assert!(matches!(error, ContextsError::Form { .. }), "{error}");
    }
    let debug = format!("{:?}", prod());
    assert!(!debug.contains("secret"), "{debug}");
}

#[test]
fn the_current_context_goes_with_its_name() {
    let mut contexts = Contexts::default();
    contexts.log_in("prod", prod());
    contexts.log_in("dev", SavedContext::default());
    contexts.set_current("prod").unwrap();
    assert!(matches!(contexts.set_current("none"), Err(ContextsError::Unknown(_))));
    assert!(matches!(contexts.remove("none"), Err(ContextsError::Unknown(_))));
    contexts.remove("dev").unwrap();
    assert_eq!(contexts.current.as_deref(), Some("prod"));
    contexts.remove("prod").unwrap();
    assert_eq!(contexts, Contexts::default());
}

#[test]
fn a_name_is_a_word() {
    for name in ["prod", "a.b_c-1", &"x".repeat(64)] {
        assert!(check_name(name).is_ok(), "{name}");
    }
    for name in ["", "a b", "a/b", "-a", "ä", &"x".repeat(65)] {
        assert!(check_name(name).is_err(), "{name}");
    }
}

#[test]
fn the_file_is_below_the_home_directory_unless_it_is_named() {
    let found = ContextFile::find(|name| (name == "HOME").then(|| "/home/ada".to_owned())).unwrap();
    assert_eq!(found.path(), Path::new("/home/ada/.config/clusterctl/contexts.toml"));
    assert!(matches!(ContextFile::find(|_| None), Err(ContextsError::NoPlace)));
}
