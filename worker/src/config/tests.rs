//! Tests of precedence, defaults and refusals.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    layer: Layer,
}

fn flags(words: &[&str]) -> Layer {
    let words = std::iter::once(&"worker").chain(words);
    CommandLine::try_parse_from(words).unwrap().layer
}

fn with_file(words: &[&str], text: &str) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::resolve(flags(words), Some(file.path()))
}

const LEAST: [&str; 4] = ["--worker-id", "w1", "--data-dir", "/data"];

#[test]
fn the_least_is_a_name_and_a_directory() {
    let config = Config::resolve(flags(&LEAST), None).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:50052");
    assert_eq!(config.executor, ExecutorKind::Process);
    assert_eq!(config.limits.log_bytes_max, 64 << 20);

    let error = Config::resolve(flags(&[]), None).unwrap_err().to_string();
    assert!(error.contains("--worker-id") && error.contains("CLOUDAI_WORKER_ID"), "{error}");
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let config = with_file(
        &["--data-dir", "/data", "--gpu", "2", "--label", "zone=b", "--label=rack=7"],
        r#"
            worker_id = "w7"
            gpu = 1
            memory_mb = 512
            shutdown_grace = "3s"
            masters = ["m1:50051", "m2:50051"]
            executor = "noop"
            [limits]
            log_bytes_max = 10
            [labels]
            zone = "a"
        "#,
    )
    .unwrap();

    assert_eq!(config.worker_id.as_str(), "w7");
    assert_eq!((config.gpu, config.memory_mb, config.cpu), (Some(2), Some(512), None));
    assert_eq!(config.shutdown_grace, Duration::from_secs(3));
    assert_eq!(config.masters, ["m1:50051", "m2:50051"]);
    assert_eq!(config.executor, ExecutorKind::Noop);
    assert_eq!(config.limits.log_bytes_max, 10);
    let labels = [("rack", "7"), ("zone", "b")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(config.labels, labels.into());
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for text in ["memory = 3", "[limits]\nmemory = 3"] {
        let error = with_file(&LEAST, text).unwrap_err().to_string();
        assert!(error.contains("unknown field `memory`"), "{error}");
    }
}

#[test]
fn an_address_that_others_reach_must_be_wanted() {
    let open = [&LEAST[..], &["--listen", "0.0.0.0:50052"]].concat();
    assert!(matches!(
        Config::resolve(flags(&open), None),
        Err(ConfigError::Unprotected(address)) if address.port() == 50052
    ));

    let wanted = [&open[..], &["--insecure"]].concat();
    assert!(Config::resolve(flags(&wanted), None).unwrap().insecure);
    assert!(with_file(&open, "insecure = true").unwrap().insecure);
    let unwanted = [&open[..], &["--insecure=false"]].concat();
    assert!(with_file(&unwanted, "insecure = true").is_err(), "a flag can also take it back");
}

#[test]
fn an_address_that_masters_elsewhere_cannot_call_is_refused() {
    let told = |words: &[&str]| Config::resolve(flags(&[&LEAST[..], words].concat()), None);
    let elsewhere = ["--masters", "m1:50051,10.0.0.1:50051"];
    for words in [&[][..], &["--advertise", "localhost:50052"], &["--advertise", "[::1]:50052"]] {
        let error = told(&[&elsewhere[..], words].concat()).unwrap_err();
        assert!(matches!(error, ConfigError::OutOfReach { .. }), "{error}");
        assert!(error.to_string().contains("10.0.0.1:50051"), "{error}");
    }
    let error = told(&["--advertise", "0.0.0.0:50052"]).unwrap_err();
    assert!(matches!(error, ConfigError::Unspecified(_)), "{error}");

    for words in [
        // The machine of a host name is known only when it is called.
        &["--masters", "m1:50051"][..],
        &["--masters", "127.0.0.1:50051,[::1]:50051"],
        &["--masters", "10.0.0.1:50051", "--advertise", "w1:50052"],
        // The master sees where such a worker calls from.
        &["--masters", "10.0.0.1:50051", "--listen", "0.0.0.0:50052", "--insecure"],
    ] {
        told(words).unwrap();
    }
}

#[test]
fn values_out_of_range_are_refused() {
    for words in [
        ["--cpu", "0"],
        ["--cpu", "NaN"],
        ["--cpu", "0.0001"],
        ["--masters", "m1"],
        ["--advertise", "http://w1:1"],
        ["--limits-attempts-max", "0"],
    ] {
        let words = [&LEAST[..], &words].concat();
        let error = Config::resolve(flags(&words), None).unwrap_err();
        assert!(matches!(error, ConfigError::OutOfRange { .. }), "{error}");
    }
}

#[test]
fn an_executor_that_does_not_exist_is_refused() {
    assert!(CommandLine::try_parse_from(["worker", "--executor", "docker"]).is_err());
    assert!(with_file(&LEAST, r#"executor = "docker""#).is_err());
}

#[test]
fn what_is_in_force_can_be_written_and_read_again() {
    let config =
        with_file(&[&LEAST[..], &["--label", "a=b", "--cpu", "1.5"]].concat(), "").unwrap();

    let text = toml::to_string(&config).unwrap();

    assert_eq!(with_file(&[], &text).unwrap(), config, "{text}");
}

#[test]
fn a_join_token_comes_from_any_layer_or_a_file_and_is_never_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "fleet.fr0m-file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let in_file = format!("join_token_file = {path:?}");

    for (words, text) in [
        (&["--join-token", "fleet.fr0m-flag"][..], in_file.as_str()),
        (&["--join-token-file", path], r#"join_token = "fleet.other""#),
        (&[], in_file.as_str()),
        (&[], r#"join_token = "fleet.fr0m-key""#),
    ] {
        let words = [&LEAST[..], &["--masters", "m1:1"], words].concat();
        let config = with_file(&words, text).unwrap();
        let shown = format!("{config:?} {}", toml::to_string(&config).unwrap());
        assert!(shown.contains("fleet.***") && !shown.contains("fr0m"), "{shown}");
        assert!(config.join_token.unwrap().reveal().contains("fr0m"));
    }
}

#[test]
fn a_join_token_without_use_or_form_is_refused() {
    let alone = [&LEAST[..], &["--join-token", "fleet.s3cret"]].concat();
    let error = Config::resolve(flags(&alone), None).unwrap_err();
    assert!(matches!(error, ConfigError::TokenWithoutMasters), "{error}");

    let missing = [&LEAST[..], &["--masters", "m1:1", "--join-token-file", "/nowhere"]].concat();
    let error = Config::resolve(flags(&missing), None).unwrap_err().to_string();
    assert!(error.contains("/nowhere"), "{error}");

    let error = with_file(&LEAST, r#"join_token = "s3cret""#).unwrap_err().to_string();
    assert!(error.contains("a name, a dot") && !error.contains("s3cret"), "{error}");
}
