//! Tests of precedence, defaults and refusals.

use daemon::config::{Invocation, invocation};

use super::*;

fn invoke(words: &[&str]) -> Result<Invocation<Config>, String> {
    let words = std::iter::once(&"worker").chain(words);
    let matches = command().try_get_matches_from(words).unwrap();
    invocation(&matches, |_| None).map_err(|error| error.to_string())
}

fn with(words: &[&str]) -> Result<Config, String> {
    match invoke(words)? {
        Invocation::Run(config) => Ok(*config),
        Invocation::Check(_) => panic!("it was to run"),
    }
}

fn with_file(words: &[&str], text: &str) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    with(&[&["--config", file.path().to_str().unwrap()], words].concat())
}

fn shown(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    match invoke(&["config", "check", file.path().to_str().unwrap()]).unwrap() {
        Invocation::Check(shown) => shown,
        Invocation::Run(_) => panic!("it was to be shown"),
    }
}

const LEAST: [&str; 4] = ["--worker-id", "w1", "--data-dir", "/data"];

#[test]
fn the_least_is_a_name_and_a_directory() {
    let config = with(&LEAST).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:50052");
    assert_eq!(config.executor, ExecutorKind::Process);
    assert_eq!(config.limits.log_bytes_max, 64 << 20);

    let error = with(&[]).unwrap_err();
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
    for (text, told) in [
        ("color = 3", "unknown key 'color' in "),
        ("memory = 3", "did you mean 'memory_mb'?"),
        ("[limits]\nattempt_max = 3", "did you mean 'limits.attempts_max'?"),
    ] {
        let error = with_file(&LEAST, text).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn an_address_that_others_reach_must_be_wanted() {
    let open = [&LEAST[..], &["--listen", "0.0.0.0:50052"]].concat();
    let error = with(&open).unwrap_err();
    assert!(error.starts_with("listen: 0.0.0.0:50052 can be reached"), "{error}");

    let wanted = [&open[..], &["--insecure"]].concat();
    assert!(with(&wanted).unwrap().insecure);
    assert!(with_file(&open, "insecure = true").unwrap().insecure);
    let unwanted = [&open[..], &["--insecure=false"]].concat();
    assert!(with_file(&unwanted, "insecure = true").is_err(), "a flag can also take it back");
}

#[test]
fn an_address_that_masters_elsewhere_cannot_call_is_refused() {
    let told = |words: &[&str]| with(&[&LEAST[..], words].concat());
    let elsewhere = ["--masters", "m1:50051,10.0.0.1:50051"];
    for words in [&[][..], &["--advertise", "localhost:50052"], &["--advertise", "[::1]:50052"]] {
        let error = told(&[&elsewhere[..], words].concat()).unwrap_err();
        assert!(error.starts_with("advertise: masters would have to reach"), "{error}");
        assert!(error.contains("10.0.0.1:50051"), "{error}");
    }
    let error = told(&["--advertise", "0.0.0.0:50052"]).unwrap_err();
    assert!(error.contains("is an address to listen on"), "{error}");

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
    for (words, told) in [
        (["--cpu", "0"], "cpu: 0 is not a number above 0"),
        (["--cpu", "NaN"], "cpu: NaN is not"),
        (["--cpu", "0.0001"], "cpu: 0.0001 is not"),
        (["--masters", "m1"], "masters: 'm1' is not HOST:PORT"),
        (["--advertise", "http://w1:1"], "advertise: 'http://w1:1' is not HOST:PORT"),
        (["--limits-attempts-max", "0"], "limits.attempts_max: must be 1 to 250000"),
        (["--executor", "docker"], "executor (--executor): 'docker' is neither process nor noop"),
    ] {
        let words = [&LEAST[..], &words].concat();
        let error = with(&words).unwrap_err();
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn what_is_in_force_can_be_written_and_read_again() {
    let text = "worker_id = \"w1\"\ndata_dir = \"/data\"\ncpu = 1.5\n[labels]\na = \"b,c\"";
    let config = with_file(&[], text).unwrap();
    assert_eq!(config.labels["a"], "b,c");

    let shown = shown(text);

    assert_eq!(with_file(&[], &shown).unwrap(), config, "{shown}");
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
        let whole = format!("worker_id = \"w\"\ndata_dir = \"/d\"\nmasters = \"m1:1\"\n{text}");
        let shown = format!("{config:?} {}", shown(&whole));
        assert!(
            shown.contains("fleet.***") && !shown.contains("fr0m") && !shown.contains("other"),
            "{shown}"
        );
        assert!(config.join_token.unwrap().reveal().contains("fr0m"));
    }
}

#[test]
fn a_join_token_without_use_or_form_is_refused() {
    let alone = [&LEAST[..], &["--join-token", "fleet.s3cret"]].concat();
    let error = with(&alone).unwrap_err();
    assert!(error.starts_with("join_token: needs masters"), "{error}");

    let missing = [&LEAST[..], &["--masters", "m1:1", "--join-token-file", "/nowhere"]].concat();
    let error = with(&missing).unwrap_err();
    assert!(error.contains("/nowhere"), "{error}");

    let error = with_file(&LEAST, r#"join_token = "s3cret""#).unwrap_err();
    assert!(error.contains("a name, a dot") && !error.contains("s3cret"), "{error}");
}

#[test]
fn devices_come_from_a_table_or_a_flag_and_are_checked() {
    let text =
        "[devices.fpga]\nids = [\"/dev/f0\", \"/dev/f1\"]\n[devices.gpu]\nids = [1, \"GPU-7\"]";
    let from_file = with_file(&LEAST, text).unwrap().devices;
    let flags =
        ["--device", "fpga=/dev/f0", "--device=fpga=/dev/f1,gpu=1", "--device", "gpu=GPU-7"];
    assert_eq!(with(&[&LEAST[..], &flags].concat()).unwrap().devices, from_file);
    assert_eq!(from_file.gpus().unwrap(), ["1", "GPU-7"]);
    let whole = format!("worker_id = \"w1\"\ndata_dir = \"/data\"\n{text}");
    assert_eq!(with_file(&[], &shown(&whole)).unwrap().devices, from_file);

    for (text, told) in [
        ("gpu = 1\n[devices.gpu]\nids = [0]", "gpu: devices.gpu names the GPUs already"),
        ("[devices.cpu]\nids = [\"a\"]", "devices: 'cpu' is a resource of every worker"),
        ("[devices.\"a/b\"]\nids = []", "devices: 'a/b' is no name of 1 to 64 letters"),
        (
            "[devices.a-b]\nids = []\n[devices.a_b]\nids = []",
            "have the variable CLOUDAI_DEVICES_A_B",
        ),
        ("[devices.a]\nids = [\"x\", \"x\"]", "devices: a: x is listed twice"),
        ("[devices.a]\nids = [\"x,y\"]", "devices: a: 'x,y' is no name of 1 to 120 bytes"),
        ("[devices.a]\nid = [\"x\"]", "a: has no list ids"),
        ("[devices.a]\nids = \"x\"", "a: ids is not a list"),
        ("[devices]\na = 3", "a: is not a table with the list ids"),
    ] {
        let error = with_file(&LEAST, text).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}
